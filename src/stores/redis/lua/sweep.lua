-- Sweeps groups of one partition without writes: drops expired changes from their logs, forgets expired
-- idempotency keys, and groups of which nothing is left.
--
-- KEYS  state (hash), due (sorted set); then for each group: head, items, order, log, idempotency keys (hash)
-- ARGV  time or '', most changes, greatest age, most bytes of a log; window of idempotency keys; then the groups
local MAX_KEYS_AT_ONCE = 1000
local now = time_of(ARGV[1])
local max_changes, max_age, max_bytes = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local window = tonumber(ARGV[5])
for i = 6, #ARGV do
  local text, k = ARGV[i], 3 + (i - 6) * 5
  local head = read_head(KEYS[k])
  -- Another process may have swept it meanwhile.
  if head.sweep_at > 0 and head.sweep_at <= now then
    trim(KEYS[k + 3], head, now, max_changes, max_age, max_bytes)
    local keys = read_keys(KEYS[k + 4])
    if keys.next > 0 then
      trim_keys(KEYS[k + 4], keys, now, window, MAX_KEYS_AT_ONCE)
      write_keys(KEYS[k + 4], keys)
    end
    -- Items of a copy that the head does not count: see repair.lua.
    if head.items == 0 then head.items = redis.call('HLEN', KEYS[k + 1]) end
    if head.count == 0 and head.items == 0 and keys.first == keys.next
      and now - math.max(head.changed, head.timestamp) > max_age then
      redis.call('DEL', KEYS[k], KEYS[k + 1], KEYS[k + 2], KEYS[k + 3])
      redis.call('ZREM', KEYS[2], text)
    else
      head.sweep_at = sweep_at_with(keys, window, head, max_age)
      if head.sweep_at > 0 then
        redis.call('ZADD', KEYS[2], head.sweep_at, text)
      else
        redis.call('ZREM', KEYS[2], text)
      end
      write_head(KEYS[k], head)
    end
  elseif head.sweep_at == 0 then
    redis.call('ZREM', KEYS[2], text)
  end
end
return now
