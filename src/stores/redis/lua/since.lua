-- Changes of a group after a revision, oldest first.
--
-- KEYS  state (hash), head, log (list)
-- ARGV  epoch, revision, most changes, most bytes, time or '', 'w' whole values or 'd' deltas where there are
-- Returns {lineage, number of commits, head, time, number of changes, then the changes; 'w': then the entries
-- before them that they need}: no changes when the position is not of this history, or the log begins later.
-- The number is -1 when the log is not that of the head (see repair.lua)
local CHUNK, WITH_DELTA_BYTES = 32, 12
local from, max_count, max_bytes = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local is_whole = ARGV[6] == 'w'
local known = redis.call('HMGET', KEYS[1], 'lineage', 'commits')
local lineage = known[1]
local head = read_head(KEYS[2])
local result = { lineage, known[2], redis.call('GET', KEYS[2]), time_of(ARGV[5]), 0 }
local index = from - (head.revision - head.count)
local is_known = ARGV[1] == epoch_of(head, lineage) or (ARGV[1] == '' and from == 0)
if not is_known or index < 0 then return result end
-- Entries before the log are those that it needs.
local before = redis.call('LLEN', KEYS[3]) - head.count
local count, bytes = 0, 0
-- Items that have a change in the result, and the bases of the first change of each.
local seen, bases = {}, {}
local is_torn = false

local function is_delta(kind) return kind >= TYPE_DELTA and kind < TYPE_WITH_DELTA end

local function add_bases(record, at)
  local kind = TYPE_DELTA
  while is_delta(kind) do
    local base, _ = struct.unpack('>d', record, at), nil
    record = redis.call('LINDEX', KEYS[3], base - head.revision - 1)
    local revision
    if record then kind, _, _, _, at, revision = read_change(record) end
    if revision ~= base then
      is_torn = true
      return
    end
    bases[#bases + 1] = record
  end
end

-- @returns Whether it fits.
local function add(record)
  local kind, _, size, id, at, revision = read_change(record)
  if revision ~= from + count + 1 then
    is_torn = true
    return false
  end
  if not is_whole and is_delta(kind) then size = #record - at + 1 - DELTA_BYTES end
  if not is_whole and kind >= TYPE_WITH_DELTA then
    size = struct.unpack('>I4', record, at)
    -- Its value is not needed.
    record = string.sub(record, 1, at + WITH_DELTA_BYTES + size - 1)
  end
  bytes = bytes + size
  if count > 0 and (count >= max_count or bytes > max_bytes) then return false end
  count = count + 1
  result[5 + count] = record
  if is_whole and is_delta(kind) and not seen[id] then add_bases(record, at) end
  seen[id] = true
  return true
end

local is_full = false
while index < head.count and not is_full do
  local last = index + math.min(CHUNK, max_count - count) - 1
  local records = redis.call('LRANGE', KEYS[3], before + index, before + math.max(index, last))
  for _, record in ipairs(records) do
    is_full = is_full or not add(record)
  end
  if #records == 0 then is_torn = true end
  is_full = is_full or is_torn or count >= max_count
  index = index + #records
end
if is_torn then return { result[1], result[2], result[3], result[4], -1 } end
result[5] = count
for b = 1, #bases do result[5 + count + b] = bases[b] end
return result
