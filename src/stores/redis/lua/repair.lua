-- Makes the keys of a group agree: a copy that was taken or restored key by key while others wrote has
-- them from different times. The records of the items are the truth. Each run does a bounded part of the
-- work, and commits may come between two runs: they leave what they touch in agreement.
--
-- A group that did not agree gets a new epoch: readers may have a state of it that never was. Its log is
-- dropped, since it is not the history of its items, and no revision of an item is beyond its head.
--
-- KEYS  state (hash), groups (sorted set), streams (hash), due (sorted set), head, items (hash),
--       order (sorted set), log (list), lifetimes (sorted set), bound (sorted set)
-- ARGV  group, a new epoch, time or ''; as the last run returned them: what to scan ('items' first, or 'order'),
--       cursor (first '0'), greatest revision of an item (first 0)
-- Returns the last three for the next run; what to scan is '' when it is done
local CHUNK, MAX_ITEMS, MAX_BYTES = 64, 500, 1048576
local state_key, groups_key, streams_key, due_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local head_key, items_key, order_key, log_key = KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local lifetimes_key, bound_key = KEYS[9], KEYS[10]
local text, new_epoch, scanned, cursor = ARGV[1], ARGV[2], ARGV[4], ARGV[5]
local newest, count, bytes = tonumber(ARGV[6]), 0, 0
-- Set while the group has to get a new epoch. It stays with the data: another process may finish the work.
local torn_field, is_torn = 't:' .. text, false

-- Scans until the end, where the cursor is '0' again, or until the work of one run is done.
local function scan(command, key, visit)
  repeat
    local page = redis.call(command, key, cursor, 'COUNT', CHUNK)
    cursor = page[1]
    for i = 1, #page[2], 2 do visit(page[2][i], page[2][i + 1]) end
    count = count + #page[2] / 2
  until cursor == '0' or count >= MAX_ITEMS or bytes >= MAX_BYTES
  return cursor == '0'
end

-- Adds to the indexes of a group what its items have to have there.
local function index_item(id, record)
  bytes = bytes + #record
  local created, revision = struct.unpack('>dd', record)
  newest = math.max(newest, revision)
  if redis.call('ZADD', order_key, 'CH', created, id) > 0 then is_torn = true end
  -- Entries without an item are removed when their end comes (see commit.lua).
  local _, _, ends, connection = read_item(record)
  local member = text .. '\0' .. id
  if ends > 0 then redis.call('ZADD', lifetimes_key, ends, member) end
  if connection ~= '' then redis.call('ZADD', bound_key, 0, connection .. '\0' .. member) end
end

local function remove_without_record(id)
  if redis.call('HEXISTS', items_key, id) == 0 then
    redis.call('ZREM', order_key, id)
    is_torn = true
  end
end

-- Whether the log ends with the last change of the items.
local function is_log_current(head)
  if not is_log_of(head, log_key) then return false end
  if head.count == 0 then return redis.call('EXISTS', log_key) == 0 end
  local _, _, _, id = read_change(redis.call('LINDEX', log_key, -1))
  local record = redis.call('HGET', items_key, id)
  return not record or select(2, struct.unpack('>dd', record)) == head.revision
end

local function finish()
  local head, now = read_head(head_key), time_of(ARGV[3])
  local began = tonumber(redis.call('HGET', state_key, 'began')) or 0
  local items = redis.call('HLEN', items_key)
  local was_torn = redis.call('HDEL', state_key, torn_field) == 1
  is_torn = is_torn or was_torn
    or head.items ~= items or head.revision < newest or not is_log_current(head)
  index_group(state_key, groups_key, streams_key, text, items > 0)
  -- Other processes may know streams of this version, of the data before.
  redis.call('HINCRBY', state_key, 'streams', 1)
  if is_torn then
    redis.call('DEL', log_key)
    if items > 0 or head.epoch ~= '' then head.epoch = new_epoch end
    head.revision = math.max(head.revision, newest)
    head.items, head.count, head.bytes, head.pins = items, 0, 0, {}
  end
  if head.timestamp == 0 then
    if items == 0 then return end
    head.timestamp = now
  end
  -- Commits in this lineage find it repaired. (Its timestamp may be ahead of the clock, so it is no proof.)
  head.changed = math.max(head.changed, began)
  local due = tonumber(redis.call('ZSCORE', due_key, text)) or 0
  if is_torn or due ~= head.sweep_at then
    -- The sweep finds out when the next one is due.
    head.sweep_at = now
    redis.call('ZADD', due_key, now, text)
  end
  write_head(head_key, head)
  -- There is something to read: see commit.lua.
  if is_torn then redis.call('SPUBLISH', head_key, struct.pack('>B', 3)) end
end

if scanned == 'items' and scan('HSCAN', items_key, index_item) then scanned = 'order' end
if scanned == 'order' and count < MAX_ITEMS and bytes < MAX_BYTES then
  -- All items are there by now, so it has others only if it has more.
  if redis.call('ZCARD', order_key) == redis.call('HLEN', items_key)
    or scan('ZSCAN', order_key, remove_without_record) then
    finish()
    scanned = ''
  end
end
if is_torn and scanned ~= '' then redis.call('HSET', state_key, torn_field, '1') end
return { scanned, cursor, string.format('%.0f', newest) }
