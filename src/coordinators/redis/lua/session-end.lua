-- Ends a session that a member holds. The leases of its subscriptions become those of the member.
-- KEYS: 1 session, 2 sessions of the member, 3 members that hold sessions, 4 leases of members,
--       5 subscriptions of the member, 6 members that hold subscriptions,
--       7 connections that items are bound to
-- ARGV: 1 id, 2 member
-- Returns: 1, 0 when the member has no lease, -1 when another member holds it,
--          or -2 when there is no such session
if not redis.call('ZSCORE', KEYS[4], ARGV[2]) then return 0 end
redis.call('SREM', KEYS[2], ARGV[1])
if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('SREM', KEYS[3], ARGV[2]) end
local fields = redis.call('HGETALL', KEYS[1])
if #fields == 0 then return -2 end
local leases = {}
local connection
for i = 1, #fields, 2 do
  if fields[i] == 'holder' and fields[i + 1] ~= ARGV[2] then return -1 end
  if fields[i] == 'connection' then connection = fields[i + 1] end
  if string.sub(fields[i], 1, 6) == 'lease:' then
    leases[string.sub(fields[i], 7)] = fields[i + 1]
  end
end
for id, payload in pairs(leases) do
  redis.call('HSET', KEYS[5], id, payload)
  redis.call('SADD', KEYS[6], ARGV[2])
end
redis.call('DEL', KEYS[1])
if connection then redis.call('HDEL', KEYS[7], connection) end
return 1
