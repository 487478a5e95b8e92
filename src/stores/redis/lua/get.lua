-- Items of a group, with its head.
--
-- KEYS  state (hash), head, items (hash); [idempotency keys (hash)]
-- ARGV  time or ''; [window of idempotency keys, number of their ids, the ids]; then the items
-- Returns {lineage, number of commits, head, clock (see clock_of), records, [what is remembered under each id]}
local known = redis.call('HMGET', KEYS[1], 'lineage', 'commits', 'began')
local head = redis.call('GET', KEYS[2])
local records, remembered, before = {}, nil, 1
if KEYS[4] then
  remembered, before = {}, 3 + tonumber(ARGV[3])
  local now = time_of(ARGV[1])
  for i = 4, before do
    remembered[i - 3] = recall(KEYS[4], ARGV[i], now, tonumber(ARGV[2])) or false
  end
end
for i = before + 1, #ARGV do records[i - before] = redis.call('HGET', KEYS[3], ARGV[i]) end
return { known[1], known[2], head, clock_of(head, known[3], ARGV[1]), records, remembered }
