-- Renews the lease of a member, removes expired leases, and returns the status of the fleet.
-- KEYS: 1 head, 2 leases, 3 acks, 4 beat, 5 holders
-- ARGV: 1 member, 2 length of a lease in ms
-- Returns: {1 when the member has a lease or else 0, time in ms, lineage, version, token of the head,
--           members with a lease, acks (member, ack, member, ack ...), holders of subscriptions}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local deadline = string.format('%.0f', now + ARGV[2])
local has = redis.call('ZSCORE', KEYS[2], ARGV[1]) and 1 or 0
if has == 1 then
  local beat = tonumber(redis.call('GET', KEYS[4]) or now)
  if now - beat > ARGV[2] / 2 then
    -- No member could renew: the server was down, not the members. All leases start over.
    for _, member in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
      redis.call('ZADD', KEYS[2], 'XX', deadline, member)
    end
  end
  redis.call('ZADD', KEYS[2], 'XX', deadline, ARGV[1])
  redis.call('SET', KEYS[4], string.format('%.0f', now))
end
-- An expired lease is never granted again: the process has to join as a new member.
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now))
local head = redis.call('HMGET', KEYS[1], 'lineage', 'version', 'token')
return {
  has, now, head[1] or '', head[2] or '0', head[3] or '',
  redis.call('ZRANGE', KEYS[2], 0, -1),
  redis.call('HGETALL', KEYS[3]),
  redis.call('SMEMBERS', KEYS[5]),
}
