-- Heads of groups of one partition.
--
-- KEYS  state (hash), mark (string), then a head for each group
-- Returns lineage, number of commits, '1' or '0' when a copy replaced the data and was not verified yet, then
-- the heads
local known = redis.call('HMGET', KEYS[1], 'lineage', 'commits', 'marked', 'replid')
local is_verified = not known[3] or is_intact(KEYS[2], known[3], known[4])
local heads = { known[1], known[2], is_verified and '1' or '0' }
for i = 3, #KEYS do heads[i + 1] = redis.call('GET', KEYS[i]) end
return heads
