-- Heads of groups of one partition.
--
-- KEYS  state (hash), mark (string), then a head for each group
-- Returns lineage, '1' or '0' when a copy replaced the data and was not verified yet, then the heads
local known = redis.call('HMGET', KEYS[1], 'lineage', 'marked', 'replid')
local heads = { known[1], (not known[2] or is_intact(KEYS[2], known[2], known[3])) and '1' or '0' }
for i = 3, #KEYS do heads[i] = redis.call('GET', KEYS[i]) end
return heads
