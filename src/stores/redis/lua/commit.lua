-- Runs operations of writers of one partition, in the given order, in one atomic step: items, revisions,
-- log, index, outbox and announcement of a commit, or none of them.
--
-- KEYS  state (hash), groups (sorted set), streams (hash), due (sorted set), outbox (stream), mark (string),
--       lifetimes (sorted set), bound (sorted set);
--       then for each group: head, items (hash), order (sorted set), log (list);
--       then the idempotency keys (hash) of groups that use some, each named by its place from the end
-- ARGV  writer's field of state, its nonce, run id of the server;
--       number of commits that the writer knows of, and their lineage; time or '';
--       most changes, greatest age, most bytes of a log;
--       floor of the first timestamps of groups; then for each group:
--         number of its arguments that follow, [and of its log: most changes, greatest age, most bytes],
--         group, epoch if it is new,
--         number of guards (-1: none), [epoch it must have, then for each: item, revision
--           or id of an idempotency key that must not be remembered, 'K' .. place of its hash, window],
--         number of entries, then for each (an 'A' after the letter: then it has an author, which follows;
--           a 'K' after that: place of the hash of its keys, window, id of its idempotency key, fingerprint)
--           'C', number of mutations, '' or '=' .. expected epoch, then for each
--             letters, item, [e: expected revision], [f: what it fires],
--             [o: time of its end, connection, revision and last revision of its creation that it must have to be
--               deleted, each or ''], [c: cause],
--             [P put, R record: size, value], [R: type],
--             [d: base revision or '' for that of the item, steps],
--             [l: lifetime in ms or '', connection or '']; with k, '' keeps what the item has
--           'S', type, '' or '=' .. item, size, value, '' or what it fires
-- Returns {'verify'} when the writer has to verify itself again; nothing was done.
--         {'ok', number of commits so far, lineage, then for each group
--           {2} when its keys have to be compared first (see repair.lua): nothing of it was done
--           {1, head, records of the guarded items} when a guard did not hold: nothing of it was done
--           {0, epoch, then for each entry {0, revision, then for each mutation: revision or 0, old record}
--                                          {1, index, current revision}  an expectation was not met
--                                          {2, epoch}                    nor the expected epoch
--                                          {3}                           no revisions are left
--                                          {4, what is remembered}       it repeats an earlier commit
--                                          {5}                           its key is that of another request}}
local MAX_REVISION = 9007199254740991
-- Beyond it readers are directed to the log: messages wait in memory for each of them.
local MAX_MESSAGE = 2097152
local MAX_TOLD = 4096
-- A commit must not wait until many expired keys are forgotten; the sweep removes the rest.
local TRIM_KEYS_AT_ONCE = 64
-- Most delta entries of one item between two whole ones.
local MAX_CHAIN = 64

local state_key, groups_key, streams_key, due_key, outbox_key =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local lifetimes_key, bound_key = KEYS[7], KEYS[8]
local known = redis.call('HMGET', state_key, 'run', ARGV[1], 'lineage', 'commits', 'seq', 'marked', 'replid', 'began')
local lineage = known[3]
if known[1] ~= ARGV[3] or known[2] ~= ARGV[2]
  or is_behind(tonumber(known[4]) or 0, lineage or '', ARGV[4], ARGV[5])
  or not is_intact(KEYS[6], known[6], known[7]) then
  return { 'verify' }
end
-- A write comes first: if the server refuses writes, it does so before anything is announced.
local commits = redis.call('HINCRBY', state_key, 'commits', 1)
local seq = tonumber(known[5]) or 0
local now = time_of(ARGV[6])
local max_changes, max_age, max_bytes = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local began, first_floor = tonumber(known[8]) or 0, tonumber(ARGV[10])
local fired, fired_bytes = {}, 0

-- Adds an entry with the next sequence number. A copy of the state may be older than that of the outbox.
local function add_entry(whole)
  seq = seq + 1
  local added = redis.pcall('XADD', outbox_key, string.format('%.0f-0', seq), 'e', whole)
  if not added.err then return end
  local info = redis.call('XINFO', 'STREAM', outbox_key)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then seq = math.max(seq, tonumber(string.match(info[i + 1], '^%d+')) + 1) end
  end
  redis.call('XADD', outbox_key, string.format('%.0f-0', seq), 'e', whole)
end

local function fire(text, epoch, fires, kind, record)
  local entry = struct.pack('>I2I2I4B', #epoch, #text, #fires, kind) .. epoch .. text .. fires
  local whole = entry .. record
  add_entry(whole)
  -- Small ones are announced whole: their owner need not read them.
  if #whole <= MAX_TOLD then entry = whole end
  fired[#fired + 1] = struct.pack('>dI4', seq, #entry) .. entry
  fired_bytes = fired_bytes + #entry
end

-- The current group, and its next argument.
local text, new_epoch, head, epoch, floor, a
local head_key, items_key, order_key, log_key
-- The author of the current entry, or ''.
local author
-- Of the current entry: the hash of its idempotency key, window, id, fingerprint; nil: it has none.
local keys_key, window, key_id, fingerprint
-- The idempotency keys of the current group, once one was remembered.
local keys
-- Events that are not announced yet, and their kind.
local message, message_bytes, message_kind = {}, 0, 4

-- Messages begin with their kind. A kind keeps its layout for good, and a process takes a message of a kind
-- that it does not know for a hint to read the log: so processes of two versions can share the data.
--   1  changes, of earlier versions: bytes of the epoch; the epoch, then for each: bytes, change
--   2  a transient event: bytes of the epoch; the epoch, the event. It has no revision, so no number of commits
--   3  too much for a message: the changes are in the log
--   4  changes: number of commits, bytes of the lineage that ends the epoch; then as 1
--   5  as 4, and some have an author
--   6  as 2, with an author
--   7  as 5, and some have a delta
local function announce()
  if #message == 0 then return end
  if message_bytes > MAX_MESSAGE then
    redis.call('SPUBLISH', head_key, struct.pack('>B', 3))
  else
    redis.call('SPUBLISH', head_key,
      struct.pack('>BdBI2', message_kind, commits, #(lineage or ''), #epoch) .. epoch .. table.concat(message))
  end
  message, message_bytes, message_kind = {}, 0, 4
end

-- The record of the change at the head's revision.
local function record_of(kind, id, size, content)
  return struct.pack(CHANGE, kind, head.revision, head.timestamp, now, size, #id)
    .. id .. content_of(author, content)
end

-- The record of an update as the log keeps it: its delta alone, unless a whole value is due (see log-entry.ts).
-- Returns nothing when it is the whole one, with its delta.
local function delta_of(kind, id, size, delta, base)
  local start = head.revision - head.count
  if base < start then return end
  local last = redis.call('LINDEX', log_key, base - head.revision)
  if not last then return end
  local last_kind, _, last_size, _, at, revision = read_change(last)
  if revision ~= base then return end
  local whole, changes, bytes = base, 0, 0
  if last_kind >= TYPE_DELTA and last_kind < TYPE_WITH_DELTA then
    _, whole, changes, bytes = struct.unpack(DELTA, last, at)
  end
  bytes = bytes + #delta + math.max(0, last_size - size)
  if whole < start or changes >= MAX_CHAIN or bytes > size then return end
  pin(head, whole, head.revision)
  return record_of(kind + TYPE_DELTA, id, size, struct.pack(DELTA, base, whole, changes + 1, bytes) .. delta)
end

local function change(kind, id, fires, size, value, delta, base)
  if head.epoch == '' then
    head.epoch = new_epoch
    epoch = epoch_of(head, lineage)
  end
  head.revision = head.revision + 1
  head.timestamp = math.max(now, head.timestamp + 1, floor + 1)
  head.changed = math.max(now, began)
  if author ~= '' then
    kind = kind + TYPE_AUTHORED
    message_kind = math.max(message_kind, 5)
  end
  local record, logged
  if delta then
    message_kind = 7
    record = record_of(kind + TYPE_WITH_DELTA, id, size,
      struct.pack(WITH_DELTA, #delta, base) .. delta .. value)
    logged = delta_of(kind, id, size, delta, base) or record
  else
    record = record_of(kind, id, size, value)
    logged = record
  end
  redis.call('RPUSH', log_key, logged)
  if head.count == 0 then head.oldest = now end
  head.count = head.count + 1
  if logged ~= record then head.bytes = head.bytes + #delta
  else head.bytes = head.bytes + size + (delta and #delta or 0) end
  message[#message + 1] = struct.pack('>I4', #record)
  message[#message + 1] = record
  message_bytes = message_bytes + #record
  -- Triggers get whole values: the outbox need not keep the steps.
  if fires then fire(text, epoch, fires, 1, delta and record_of(kind, id, size, value) or record) end
end

-- Keeps the indexes of lifetimes in step with an item.
local function index(id, ends_before, connection_before, ends, connection)
  if ends ~= ends_before then
    if ends > 0 then redis.call('ZADD', lifetimes_key, ends, text .. '\0' .. id)
    else redis.call('ZREM', lifetimes_key, text .. '\0' .. id) end
  end
  if connection ~= connection_before then
    local member = '\0' .. text .. '\0' .. id
    if connection_before ~= '' then redis.call('ZREM', bound_key, connection_before .. member) end
    if connection ~= '' then redis.call('ZADD', bound_key, 0, connection .. member) end
  end
end

-- Of the current mutation: what an item must be like to be deleted, its cause, and the lifetime that it gives.
local only_if, cause, life, keeps

-- Whether an item is what a delete by the service expects.
local function is_met(old, ends, connection)
  local created, revision = struct.unpack('>dd', old)
  return (only_if[1] == '' or tonumber(only_if[1]) == ends)
    and (only_if[2] == '' or only_if[2] == connection)
    and (only_if[3] == '' or tonumber(only_if[3]) == revision)
    and (only_if[4] == '' or created <= tonumber(only_if[4]))
end

-- P put, D delete, R record of a change made elsewhere, with its kind.
local function apply(letter, id, fires, size, value, kind, delta, base)
  local old = redis.call('HGET', items_key, id)
  local old_size, old_at, old_ends, old_connection = 0, 1, 0, ''
  if old then old_size, old_at, old_ends, old_connection = read_item(old) end
  if letter == 'D' then
    if not old or (only_if and not is_met(old, old_ends, old_connection)) then
      -- A restored copy may have indexes that are older than its items (see repair.lua).
      if only_if then index(id, tonumber(only_if[1]) or old_ends, only_if[2], old_ends, old_connection) end
      return 0, false
    end
    change(2 + CAUSE * (cause or 0), id, fires, old_size, string.sub(old, old_at))
  else
    if delta then
      local _, revision = 0, 0
      if old then _, revision = struct.unpack('>dd', old) end
      if not old or (kind and kind ~= 1) or (base ~= '' and tonumber(base) ~= revision) then delta = nil end
      base = revision
    end
    change(kind or (old and 1 or 0), id, fires, size, value, delta, base)
  end
  if letter == 'D' or kind == 2 then
    if old then
      redis.call('HDEL', items_key, id)
      redis.call('ZREM', order_key, id)
      head.items = head.items - 1
      index(id, old_ends, old_connection, 0, '')
    end
    return head.revision, old
  end
  local created, created_ms, _ = head.revision, now, nil
  if old then
    created, _, created_ms = struct.unpack('>ddd', old)
  else
    redis.call('ZADD', order_key, created, id)
    head.items = head.items + 1
  end
  local ends, connection = 0, ''
  if keeps or letter == 'R' then ends, connection = old_ends, old_connection end
  if life then
    if life[1] ~= '' then ends = now + tonumber(life[1]) end
    if life[2] ~= '' then connection = life[2] end
  end
  index(id, old_ends, old_connection, ends, connection)
  if ends > 0 or connection ~= '' then
    size = size + SIZE_MORTAL
    value = struct.pack(LIFETIME, ends, #connection) .. connection .. value
  end
  if author ~= '' then size = size + SIZE_AUTHORED end
  redis.call('HSET', items_key, id,
    struct.pack(ITEM, created, head.revision, created_ms, now, size) .. content_of(author, value))
  return head.revision, old
end

local function revision_of(id)
  local record = redis.call('HGET', items_key, id)
  if not record then return 0 end
  local _, revision = struct.unpack('>dd', record)
  return revision
end

-- Reads a mutation's arguments: letters, item, expected revision, what it fires, size, value, kind, steps, base.
local function read_mutation()
  local letters, id = ARGV[a], ARGV[a + 1]
  a = a + 2
  local letter, expected, fires, size, value, kind = string.sub(letters, 1, 1), nil, nil, nil, nil, nil
  local delta, base, has_delta
  only_if, cause, life, keeps = nil, nil, nil, false
  if letters ~= letter then
    if string.find(letters, 'e', 2, true) then
      expected = tonumber(ARGV[a])
      a = a + 1
    end
    if string.find(letters, 'f', 2, true) then
      fires = ARGV[a]
      a = a + 1
    end
    if string.find(letters, 'o', 2, true) then
      only_if = { ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3] }
      a = a + 4
    end
    if string.find(letters, 'c', 2, true) then
      cause = tonumber(ARGV[a])
      a = a + 1
    end
    has_delta = string.find(letters, 'd', 2, true)
    keeps = string.find(letters, 'k', 2, true)
  end
  if letter ~= 'D' then
    size, value = tonumber(ARGV[a]), ARGV[a + 1]
    a = a + 2
    if letter == 'R' then
      kind = tonumber(ARGV[a])
      a = a + 1
    end
    if has_delta then
      base, delta = ARGV[a], ARGV[a + 1]
      a = a + 2
    end
    if letters ~= letter and string.find(letters, 'l', 2, true) then
      life = { ARGV[a], ARGV[a + 1] }
      a = a + 2
    end
  end
  return letter, id, expected, fires, size, value, kind, delta, base
end

local function commit()
  local count, expected_epoch = tonumber(ARGV[a + 1]), ARGV[a + 2]
  a = a + 3
  local refusal
  -- What a repetition expects does not count.
  local known = key_id and recall(keys_key, key_id, now, window)
  if known then
    local first = string.match(known, '^%d+ [cu-]* (%S*) ')
    refusal = first == fingerprint and { 4, known } or { 5 }
  elseif expected_epoch ~= '' and string.sub(expected_epoch, 2) ~= epoch then
    refusal = { 2, epoch }
  end
  -- Every expectation concerns the current state of the group: all are checked before any change.
  local start = a
  for m = 1, count do
    local _, id, expected = read_mutation()
    if expected and not refusal then
      local revision = revision_of(id)
      if revision ~= expected then refusal = { 1, m - 1, revision } end
    end
  end
  if not refusal and head.revision + count > MAX_REVISION then refusal = { 3 } end
  if refusal then return refusal end
  local result = { 0, 0 }
  a = start
  for m = 1, count do
    local letter, id, _, fires, size, value, kind, delta, base = read_mutation()
    result[m * 2 + 1], result[m * 2 + 2] = apply(letter, id, fires, size, value, kind, delta, base)
  end
  result[2] = head.revision
  if key_id then
    local effects = {}
    for m = 1, count do
      local revision, old = result[m * 2 + 1], result[m * 2 + 2]
      effects[m] = revision == 0 and '-' or old and 'u' or 'c'
    end
    keys = keys or read_keys(keys_key)
    remember(keys_key, keys, key_id,
      string.format('%.0f ', head.revision) .. table.concat(effects) .. ' ' .. fingerprint .. ' ' .. epoch, now)
    trim_keys(keys_key, keys, now, window, TRIM_KEYS_AT_ONCE)
    write_keys(keys_key, keys)
  end
  return result
end

-- A quiet event only enters the outbox.
local function send(is_quiet)
  local kind, item, size = ARGV[a + 1], ARGV[a + 2], tonumber(ARGV[a + 3])
  local value, fires = ARGV[a + 4], ARGV[a + 5]
  a = a + 6
  announce()
  head.timestamp = math.max(now, head.timestamp + 1, floor + 1)
  head.changed = math.max(now, began)
  local id_bytes = 65535
  if item ~= '' then
    item = string.sub(item, 2)
    id_bytes = #item
  end
  local message_of = 2
  if author ~= '' then size, message_of = size + SIZE_AUTHORED, 6 end
  local record = struct.pack('>ddI4I2I2', head.revision, head.timestamp, size, #kind, id_bytes)
    .. kind .. item .. content_of(author, value)
  if not is_quiet then
    redis.call('SPUBLISH', head_key, struct.pack('>BI2', message_of, #epoch) .. epoch .. record)
  end
  if fires ~= '' then fire(text, epoch, fires, 2, record) end
  return { 0 }
end

-- The hash of idempotency keys at a place from the end.
local function hash_at(place) return KEYS[#KEYS + 1 - tonumber(place)] end

local function run_group(k, at)
  head_key, items_key, order_key, log_key = KEYS[k], KEYS[k + 1], KEYS[k + 2], KEYS[k + 3]
  text, new_epoch = ARGV[at], ARGV[at + 1]
  local guards = tonumber(ARGV[at + 2])
  a = at + 3
  head, keys = read_head(head_key), nil
  epoch = epoch_of(head, lineage)
  -- The first write of a group in a lineage: the keys of a copy may not agree.
  if head.changed < began
    and (head.timestamp > 0 or redis.call('EXISTS', items_key, order_key, log_key) > 0) then
    return { 2 }
  end
  local items_before, timestamp_before = head.items, head.timestamp
  -- See GroupClock.
  floor = head.timestamp == 0 and first_floor or began
  if guards >= 0 then
    local holds = epoch == ARGV[a]
    local records = {}
    for g = 1, guards do
      local name, expected = ARGV[a + g * 2 - 1], tonumber(ARGV[a + g * 2])
      if expected then
        local record = redis.call('HGET', items_key, name)
        records[g] = record
        local _, revision = 0, 0
        if record then _, revision = struct.unpack('>dd', record) end
        holds = holds and revision == expected
      else
        local place, within = string.match(ARGV[a + g * 2], '^K(%d+) (%d+)$')
        records[g] = false
        holds = holds and not recall(hash_at(place), name, now, tonumber(within))
      end
    end
    if not holds then return { 1, redis.call('GET', head_key), records } end
    a = a + 1 + guards * 2
  end
  local entries = tonumber(ARGV[a])
  a = a + 1
  local reply = { 0, '' }
  for e = 1, entries do
    local kind = ARGV[a]
    author, key_id = '', nil
    if #kind > 1 then
      if string.sub(kind, 2, 2) == 'A' then
        author = ARGV[a + 1]
        a = a + 1
      end
      if string.sub(kind, -1) == 'K' then
        keys_key, window, key_id, fingerprint = hash_at(ARGV[a + 1]), tonumber(ARGV[a + 2]), ARGV[a + 3], ARGV[a + 4]
        a = a + 4
      end
    end
    local letter = string.sub(kind, 1, 1)
    reply[e + 2] = letter == 'C' and commit() or send(letter == 'Q')
  end
  announce()
  reply[2] = epoch
  if head.timestamp ~= timestamp_before or keys then
    trim(log_key, head, now, max_changes, max_age, max_bytes)
    if (head.items > 0) ~= (items_before > 0) then
      index_group(state_key, groups_key, streams_key, text, head.items > 0)
    end
    if head.sweep_at == 0 or keys then
      local sweep_at = keys and sweep_at_with(keys, window, head, max_age) or sweep_at_of(head, max_age)
      if sweep_at > 0 and (head.sweep_at == 0 or sweep_at < head.sweep_at) then
        head.sweep_at = sweep_at
        redis.call('ZADD', due_key, sweep_at, text)
      end
    end
    write_head(head_key, head)
  end
  return reply
end

local result = { 'ok', commits, lineage or '' }
local at, k = 11, 9
local limits = { max_changes, max_age, max_bytes }
while at <= #ARGV do
  local count = tonumber(ARGV[at])
  max_changes, max_age, max_bytes = limits[1], limits[2], limits[3]
  if not count then
    local numbers = {}
    for number in string.gmatch(ARGV[at], '%d+') do numbers[#numbers + 1] = tonumber(number) end
    count, max_changes, max_age, max_bytes = numbers[1], numbers[2], numbers[3], numbers[4]
  end
  result[#result + 1] = run_group(k, at + 1)
  at = at + 1 + count
  k = k + 4
end
if #fired > 0 then
  redis.call('HSET', state_key, 'seq', string.format('%.0f', seq))
  -- An empty message: there is something to read.
  redis.call('SPUBLISH', outbox_key, fired_bytes > MAX_MESSAGE and '' or table.concat(fired))
end
return result
