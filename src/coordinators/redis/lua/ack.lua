-- Records the version that a member has reached.
-- KEYS: 1 acks, 2 leases, 3 channel of changes
-- ARGV: 1 member, 2 lineage, 3 version
-- Returns: 1, or 0 when the member has no lease
if not redis.call('ZSCORE', KEYS[2], ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
redis.call('SPUBLISH', KEYS[3], 'ack ' .. ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[1])
return 1
