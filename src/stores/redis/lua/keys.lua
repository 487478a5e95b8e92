-- Shared by the scripts that know idempotency keys. Those of a group are one hash:
--
--   h             number of the oldest key, number of the next one, time of the oldest, time of the newest
--   i .. id       time, number; then what is remembered (see core/idempotency.ts)
--   n .. number   time; then the id
--
-- The oldest key has the lowest number. Times never decrease, even if the clock goes back.
local MAX_KEYS = 10000
local KEYS_HEAD = '>dddd'
local KEY = '>dd'

local function read_keys(keys_key)
  local packed = redis.call('HGET', keys_key, 'h')
  if not packed then return { first = 0, next = 0, oldest = 0, newest = 0 } end
  local first, next_number, oldest, newest = struct.unpack(KEYS_HEAD, packed)
  return { first = first, next = next_number, oldest = oldest, newest = newest }
end

local function write_keys(keys_key, keys)
  if keys.first == keys.next then
    redis.call('DEL', keys_key)
  else
    redis.call('HSET', keys_key, 'h', struct.pack(KEYS_HEAD, keys.first, keys.next, keys.oldest, keys.newest))
  end
end

-- What is remembered under an id, as text; nil: nothing.
local function recall(keys_key, id, now, window)
  local record = redis.call('HGET', keys_key, 'i' .. id)
  if not record then return nil end
  local time, _, at = struct.unpack(KEY, record)
  if now - time >= window then return nil end
  return string.sub(record, at)
end

local function place_of(number) return 'n' .. string.format('%.0f', number) end

-- Forgets expired keys, and the oldest beyond the limit: at most `most` of them.
local function trim_keys(keys_key, keys, now, window, most)
  while most > 0 and keys.first < keys.next
    and (keys.next - keys.first > MAX_KEYS or now - keys.oldest >= window) do
    most = most - 1
    local place = place_of(keys.first)
    local entry = redis.call('HGET', keys_key, place)
    if entry then
      local field = 'i' .. string.sub(entry, 9)
      local record = redis.call('HGET', keys_key, field)
      -- An expired key that was used again has a newer number.
      if record then
        local _, number = struct.unpack(KEY, record)
        if number == keys.first then redis.call('HDEL', keys_key, field) end
      end
      redis.call('HDEL', keys_key, place)
    end
    keys.first = keys.first + 1
    local oldest = keys.first < keys.next and redis.call('HGET', keys_key, place_of(keys.first))
    keys.oldest = oldest and struct.unpack('>d', oldest) or 0
  end
end

-- Remembers a text under an id.
local function remember(keys_key, keys, id, text, now)
  keys.newest = math.max(keys.newest, now)
  if keys.first == keys.next then keys.oldest = keys.newest end
  redis.call('HSET', keys_key, 'i' .. id, struct.pack(KEY, keys.newest, keys.next) .. text,
    place_of(keys.next), struct.pack('>d', keys.newest) .. id)
  keys.next = keys.next + 1
end

-- Time of the next sweep of a group that may have keys. An empty group is not forgotten before its keys.
local function sweep_at_with(keys, window, head, max_age)
  local own = sweep_at_of(head, max_age)
  if keys.first == keys.next then return own end
  local at = keys.oldest + window + math.ceil(window / 8)
  if own == 0 or (head.count == 0 and head.items == 0) or at < own then return at end
  return own
end
