-- Shared by the scripts: the encoding of records. The counterpart of records.ts.
--
--   head    revision, timestamp, time of the last change, items, changes in the log, their bytes,
--           time of the oldest (or earlier), time of the entry in `due` (0: none); then the epoch
--   item    revision that created it, revision, creation time, update time, size; then the value
--   change  type (0 create, 1 update, 2 delete), revision, timestamp, time, size, bytes of the id;
--           then the id and the value
--
-- The author of an item or a change stands before the value: its bytes, and the author. SIZE_AUTHORED, added
-- to the size of an item or a transient event, and TYPE_AUTHORED, added to the type of a change, say that it
-- is there. Without author, records have neither, so they are those of earlier versions.
--
-- Numbers are doubles, which hold every integer up to 2^53 exactly.
local HEAD = '>dddddddd'
local ITEM = '>ddddI4'
local CHANGE = '>BdddI4I2'
local SIZE_AUTHORED, TYPE_AUTHORED = 2147483648, 128

-- What follows the header of an item, or the id of a change.
local function content_of(author, value)
  if author == '' then return value end
  return struct.pack('>I2', #author) .. author .. value
end

local function read_head(key)
  local packed = redis.call('GET', key)
  if not packed then
    return { epoch = '', revision = 0, timestamp = 0, changed = 0, items = 0, count = 0, bytes = 0,
      oldest = 0, sweep_at = 0 }
  end
  local revision, timestamp, changed, items, count, bytes, oldest, sweep_at, at =
    struct.unpack(HEAD, packed)
  return { epoch = string.sub(packed, at), revision = revision, timestamp = timestamp,
    changed = changed, items = items, count = count, bytes = bytes, oldest = oldest, sweep_at = sweep_at }
end

local function write_head(key, head)
  redis.call('SET', key, struct.pack(HEAD, head.revision, head.timestamp, head.changed, head.items,
    head.count, head.bytes, head.oldest, head.sweep_at) .. head.epoch)
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

-- Trims changes beyond retention from the log.
local function trim(log_key, head, now, max_changes, max_age, max_bytes)
  while head.count > 0 and (head.count > max_changes or head.bytes > max_bytes) do
    local _, _, _, _, size = struct.unpack(CHANGE, redis.call('LPOP', log_key))
    head.count = head.count - 1
    head.bytes = head.bytes - size
  end
  while head.count > 0 and now - head.oldest > max_age do
    local _, _, _, time, size = struct.unpack(CHANGE, redis.call('LINDEX', log_key, 0))
    head.oldest = time
    if now - time > max_age then
      redis.call('LPOP', log_key)
      head.count = head.count - 1
      head.bytes = head.bytes - size
    end
  end
end

-- Time of the group's next sweep if it is not written; 0: not before its next change.
local function sweep_at_of(head, max_age)
  if head.count > 0 then return head.oldest + max_age + 1 end
  if head.items > 0 then return 0 end
  return math.max(head.changed, head.timestamp) + max_age + 1
end
