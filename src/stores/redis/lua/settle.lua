-- Settles entries of the outbox of a partition.
--
-- KEYS  state (hash), outbox (stream), settled (hash)
-- ARGV  fence of the owner, then for each entry: place, '1' if it may go, ids of triggers with a
--       U+0000 after each
-- Returns 1, or 0 when another owner has taken over: nothing was done
local fence = redis.call('HGET', KEYS[1], 'fence')
if fence and fence ~= ARGV[1] and number_of(fence) >= number_of(ARGV[1]) then return 0 end
-- No fence, or that of an earlier owner: the server has lost this owner's claim.
if fence ~= ARGV[1] and ARGV[1] ~= '' then redis.call('HSET', KEYS[1], 'fence', ARGV[1]) end
for i = 2, #ARGV, 3 do
  local place = ARGV[i]
  if ARGV[i + 1] == '1' then
    redis.call('XDEL', KEYS[2], place .. '-0')
    redis.call('HDEL', KEYS[3], place)
  else
    local done = redis.call('HGET', KEYS[3], place) or ''
    redis.call('HSET', KEYS[3], place, done .. ARGV[i + 2])
  end
end
return 1
