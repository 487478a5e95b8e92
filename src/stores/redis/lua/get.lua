-- Items of a group, with where it stands.
--
-- KEYS  state (hash), head, items (hash)
-- ARGV  items
-- Returns {lineage, head, records}
local records = {}
for i = 1, #ARGV do records[i] = redis.call('HGET', KEYS[3], ARGV[i]) end
return { redis.call('HGET', KEYS[1], 'lineage'), redis.call('GET', KEYS[2]), records }
