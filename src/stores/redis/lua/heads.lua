-- Where groups of one partition stand.
--
-- KEYS  state (hash), then a head for each group
-- Returns lineage, then the heads
local heads = {}
for i = 2, #KEYS do heads[i] = redis.call('GET', KEYS[i]) end
heads[1] = redis.call('HGET', KEYS[1], 'lineage')
return heads
