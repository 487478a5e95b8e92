-- Entries of the outbox of a partition.
--
-- KEYS  outbox (stream), settled (hash)
-- ARGV  first place, last place, most entries, '1' for whole entries or '0' for their heads
-- Returns for each entry: place, entry, ids of triggers that are done with it
local entries = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[2], 'COUNT', ARGV[3])
local any = redis.call('EXISTS', KEYS[2]) == 1
local result = {}
for _, entry in ipairs(entries) do
  local place = string.sub(entry[1], 1, -3)
  local packed = entry[2][2]
  if ARGV[4] == '0' then
    local epoch, text, fires, _, at = struct.unpack('>I2I2I4B', packed)
    packed = string.sub(packed, 1, at + epoch + text + fires - 1)
  end
  result[#result + 1] = place
  result[#result + 1] = packed
  result[#result + 1] = any and redis.call('HGET', KEYS[2], place) or false
end
return result
