-- Which sessions go on.
-- KEYS: the sessions
-- Returns: 1 or else 0, for each
local lives = {}
for i, session in ipairs(KEYS) do
  local known = redis.call('HMGET', session, 'holder', 'ended')
  lives[i] = known[1] and not known[2] and 1 or 0
end
return lives
