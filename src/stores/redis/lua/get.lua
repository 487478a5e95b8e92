-- Items of a group, with its head.
--
-- KEYS  state (hash), head, items (hash)
-- ARGV  time or '', then the items
-- Returns {lineage, number of commits, head, clock (see clock_of), records}
local known = redis.call('HMGET', KEYS[1], 'lineage', 'commits', 'began')
local head = redis.call('GET', KEYS[2])
local records = {}
for i = 2, #ARGV do records[i - 1] = redis.call('HGET', KEYS[3], ARGV[i]) end
return { known[1], known[2], head, clock_of(head, known[3], ARGV[1]), records }
