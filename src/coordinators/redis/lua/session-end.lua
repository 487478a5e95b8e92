-- Ends a session that a process holds. The leases of its subscriptions become those of the member,
-- and a tombstone takes the place of the record for a while.
-- KEYS: 1 session, 2 sessions of the member, 3 members that hold sessions, 4 leases of members,
--       5 subscriptions of the member, 6 members that hold subscriptions,
--       7 connections that items are bound to
-- ARGV: 1 id, 2 member, 3 process of the member, 4 how long the tombstone lasts in ms
-- Returns: 1, also when the member has ended it before, 0 when the member has no lease, -1 when
--          another process holds it, or has ended it, or -2 when there is no record of it
if not redis.call('ZSCORE', KEYS[4], ARGV[2]) then return 0 end
redis.call('SREM', KEYS[2], ARGV[1])
if redis.call('EXISTS', KEYS[2]) == 0 then redis.call('SREM', KEYS[3], ARGV[2]) end
local known = redis.call('HMGET', KEYS[1], 'holder', 'ended')
if known[2] then return known[2] == ARGV[2] and 1 or -1 end
if not known[1] then return -2 end
if string.sub(known[1], 1, #ARGV[3] + 1) ~= ARGV[3] .. '/' then return -1 end
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  if fields[i] == 'connection' then redis.call('HDEL', KEYS[7], fields[i + 1]) end
  if string.sub(fields[i], 1, 6) == 'lease:' then
    redis.call('HSET', KEYS[5], string.sub(fields[i], 7), fields[i + 1])
    redis.call('SADD', KEYS[6], ARGV[2])
  end
end
redis.call('DEL', KEYS[1])
-- The holder is none: processes of versions without tombstones leave it alone.
redis.call('HSET', KEYS[1], 'ended', ARGV[2], 'holder', '-')
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
