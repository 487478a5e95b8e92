-- Gives a session to a member, whose process a client takes it up at.
-- KEYS: 1 session, 2 sessions of the member, 3 members that hold sessions, 4 leases of members
-- ARGV: 1 id, 2 member, 3 number of changes of hands that the member knows of
-- Returns: {'out'}: the member has no lease, {'gone'}: there is no such session, or it has ended,
--          {'moved'}: it has changed hands, or
--          {'taken', fields of the session (name, value, name, value ...)}
if not redis.call('ZSCORE', KEYS[4], ARGV[2]) then return {'out'} end
local changes = redis.call('HGET', KEYS[1], 'changes')
if not changes then return {'gone'} end
if changes ~= ARGV[3] then return {'moved'} end
redis.call('HSET', KEYS[1], 'holder', ARGV[2], 'adopted', '', 'changes', changes + 1)
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('SADD', KEYS[3], ARGV[2])
return {'taken', redis.call('HGETALL', KEYS[1])}
