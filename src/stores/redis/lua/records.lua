-- Shared by the scripts: the encoding of records. The counterpart of records.ts.
--
--   head    revision, timestamp, time of the last change or event, items, changes in the log, their bytes,
--           time of the oldest (or earlier), time of the entry in `due` (0: none); then the pins of the log
--           (their number in one byte, and two revisions each; nothing when there are none) and the epoch, which
--           begins with no such byte
--   item    revision that created it, revision, creation time, update time, size; then the value
--   change  type (0 create, 1 update, 2 delete), revision, timestamp, time, size, bytes of the id;
--           then the id and the value
--
-- The author of an item or a change stands before the value: its bytes, and the author. SIZE_AUTHORED, added
-- to the size of an item or a transient event, and TYPE_AUTHORED, added to the type of a change, say that it
-- is there. Without author, records have neither, so they are those of earlier versions.
--
-- SIZE_MORTAL, added to the size of an item, says that its lifetime stands before the value, after the author: the
-- time of its end (0: none), bytes of the connection, and the connection. The cause of a delete by the service
-- (1 expired, 2 disconnected, 3 evicted), times CAUSE, is added to its type.
--
-- TYPE_WITH_DELTA, added to the type of an update, says that its delta stands before the value: its bytes, base
-- revision and text. TYPE_DELTA says that the delta stands in place of the value: base revision, revision of the
-- whole entry, number of changes and bytes of its chain, and text (see log-entry.ts). `size` is that of the
-- value all the same.
--
-- Numbers are doubles, which hold every integer up to 2^53 exactly.
local HEAD = '>dddddddd'
local ITEM = '>ddddI4'
local CHANGE = '>BdddI4I2'
local SIZE_AUTHORED, TYPE_AUTHORED = 2147483648, 128
local SIZE_MORTAL, LIFETIME, CAUSE = 1073741824, '>dB', 4
local TYPE_WITH_DELTA, TYPE_DELTA = 64, 32
local WITH_DELTA, DELTA = '>I4d', '>ddBI4'
local DELTA_BYTES, MAX_PINS = 21, 8

-- What follows the header of an item, or the id of a change.
local function content_of(author, value)
  if author == '' then return value end
  return struct.pack('>I2', #author) .. author .. value
end

local function read_head(key)
  local packed = redis.call('GET', key)
  if not packed then
    return { epoch = '', revision = 0, timestamp = 0, changed = 0, items = 0, count = 0, bytes = 0,
      oldest = 0, sweep_at = 0, pins = {} }
  end
  local revision, timestamp, changed, items, count, bytes, oldest, sweep_at, at =
    struct.unpack(HEAD, packed)
  local pins, of_pins = {}, string.byte(packed, at) or 0
  if of_pins > 0 and of_pins <= MAX_PINS then
    at = at + 1
    for p = 1, of_pins do
      local from, to
      from, to, at = struct.unpack('>dd', packed, at)
      pins[p] = { from, to }
    end
  end
  return { epoch = string.sub(packed, at), revision = revision, timestamp = timestamp,
    changed = changed, items = items, count = count, bytes = bytes, oldest = oldest, sweep_at = sweep_at,
    pins = pins }
end

local function write_head(key, head)
  local pins = ''
  if #head.pins > 0 then
    local parts = { string.char(#head.pins) }
    for _, pin in ipairs(head.pins) do parts[#parts + 1] = struct.pack('>dd', pin[1], pin[2]) end
    pins = table.concat(parts)
  end
  redis.call('SET', key, struct.pack(HEAD, head.revision, head.timestamp, head.changed, head.items,
    head.count, head.bytes, head.oldest, head.sweep_at) .. pins .. head.epoch)
end

-- The epoch as readers see it. Another lineage is another history: see verify.lua.
local function epoch_of(head, lineage)
  if head.epoch == '' or not lineage or lineage == '' then return head.epoch end
  return head.epoch .. '.' .. lineage
end

-- Unix milliseconds: the given time, or that of the server, which the whole fleet shares.
local function time_of(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- For the timestamp of a sync (see GroupClock): the start of the lineage, as text; for a group without events,
-- the time. (A group whose only record is an idempotency key had none.)
local function clock_of(packed, began, given)
  local has_events = packed and select(2, struct.unpack('>dd', packed)) > 0
  return has_events and (began or '0') or string.format('%.0f', time_of(given))
end

-- Reads an item: size of its value, where the value begins, time of its end (0: none), connection ('': none).
local function read_item(record)
  local _, _, _, _, size, at = struct.unpack(ITEM, record)
  if size >= SIZE_AUTHORED then
    size = size - SIZE_AUTHORED
    at = at + 2 + (struct.unpack('>I2', record, at))
  end
  if size < SIZE_MORTAL then return size, at, 0, '' end
  local ends, bytes
  ends, bytes, at = struct.unpack(LIFETIME, record, at)
  return size - SIZE_MORTAL, at + bytes, ends, string.sub(record, at, at + bytes - 1)
end

-- Reads a change: its type, time, size of its value, id, where its content begins, revision.
local function read_change(record)
  local kind, revision, _, time, size, id_bytes, at = struct.unpack(CHANGE, record)
  local id = string.sub(record, at, at + id_bytes - 1)
  at = at + id_bytes
  if kind >= TYPE_AUTHORED then
    kind = kind - TYPE_AUTHORED
    at = at + 2 + (struct.unpack('>I2', record, at))
  end
  return kind, time, size, id, at, revision
end

-- Bytes that a change counts in the log, and its time.
local function extent_of(record)
  local kind, time, size, _, at = read_change(record)
  if kind >= TYPE_WITH_DELTA then return size + (struct.unpack('>I4', record, at)), time end
  if kind >= TYPE_DELTA then return #record - at + 1 - DELTA_BYTES, time end
  return size, time
end

-- See withPin in log-pins.ts.
local function pin(head, whole, revision)
  local pins = head.pins
  while #pins > 0 and pins[#pins][1] >= whole do pins[#pins] = nil end
  if #pins == MAX_PINS then pins[#pins][2] = revision else pins[#pins + 1] = { whole, revision } end
end

-- Enters a group in the index of groups that hold items, or removes it, with the number of groups of its stream.
-- The list of streams gets a new version when a stream appears or disappears.
local function index_group(state_key, groups_key, streams_key, text, has_items)
  local stream = string.sub(text, 1, string.find(text, '\0', 1, true) - 1)
  if has_items then redis.call('ZADD', groups_key, 0, text) else redis.call('ZREM', groups_key, text) end
  -- Names contain no control characters.
  local count = redis.call('ZLEXCOUNT', groups_key, '[' .. stream .. '\0', '(' .. stream .. '\1')
  local changed = count > 0 and redis.call('HSET', streams_key, stream, count)
    or count == 0 and redis.call('HDEL', streams_key, stream)
  if changed > 0 then redis.call('HINCRBY', state_key, 'streams', 1) end
end

-- Whether the log holds the changes that the head says. A copy may have the two from different times: see
-- repair.lua.
local function is_log_of(head, log_key)
  if head.count == 0 then return true end
  for place, revision in pairs({ [-1] = head.revision, [-head.count] = head.revision - head.count + 1 }) do
    local record = redis.call('LINDEX', log_key, place)
    if not record or select(6, read_change(record)) ~= revision then return false end
  end
  return true
end

-- Size and time of the oldest change in the log; nil, and an empty log, when it has fewer than the head says.
local function extent_of_oldest(log_key, head)
  local record = redis.call('LINDEX', log_key, -head.count)
  if record then return extent_of(record) end
  head.count, head.bytes = 0, 0
end

-- Trims changes beyond retention from the log. Those that others need stay stored before it.
local function trim(log_key, head, now, max_changes, max_age, max_bytes)
  local count = head.count
  while head.count > 0 and (head.count > max_changes or head.bytes > max_bytes) do
    local size = extent_of_oldest(log_key, head)
    if not size then break end
    head.count = head.count - 1
    head.bytes = head.bytes - size
  end
  while head.count > 0 and now - head.oldest > max_age do
    local size, time = extent_of_oldest(log_key, head)
    if not size then break end
    head.oldest = time
    if now - time > max_age then
      head.count = head.count - 1
      head.bytes = head.bytes - size
    end
  end
  if head.count == count then return end
  local start = head.revision - head.count + 1
  while #head.pins > 0 and head.pins[1][2] < start do table.remove(head.pins, 1) end
  local from = #head.pins > 0 and math.min(start, head.pins[1][1]) or start
  local surplus = redis.call('LLEN', log_key) - (head.revision - from + 1)
  if surplus > 0 then redis.call('LTRIM', log_key, surplus, -1) end
end

-- Time of the group's next sweep if it is not written; 0: not before its next change.
local function sweep_at_of(head, max_age)
  if head.count > 0 then return head.oldest + max_age + 1 end
  if head.items > 0 then return 0 end
  return math.max(head.changed, head.timestamp) + max_age + 1
end
