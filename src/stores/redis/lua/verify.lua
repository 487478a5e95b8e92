-- Registers a writer, if one is named, and decides whether the data may have lost acknowledged writes. If
-- so, every group of the partition gets a new epoch before anything is written: revisions that readers have
-- seen must not be reused with another meaning, nor must sequence numbers of the outbox.
--
-- The data may have lost writes when
-- * another process of the server wrote it before, and this one was a replica, or does not flush writes
--   before it acknowledges them, or its writer is unknown (after a restore, say);
-- * this process of the server wrote it before, and has loaded it from a copy since (see is_intact);
-- * it has fewer commits than the caller knows of, in the lineage that the caller knows.
--
-- KEYS  state (hash), gone (sorted set), mark (string)
-- ARGV  run id of the server, '1' if it was a replica, '1' if its acknowledged writes are on its disk;
--       number of commits that the caller knows of, and their lineage; a name never used;
--       writer's name or '', its new nonce; time or ''
-- Returns {'1' if the epoch was raised, number of commits, lineage}; {'gone'} when the writer was fenced
local known = redis.call('HMGET', KEYS[1], 'run', 'durable', 'commits', 'lineage', 'seq', 'marked', 'replid')
local run, durable, commits, lineage = known[1], known[2], tonumber(known[3]) or 0, known[4] or ''
local marked, replid = known[6], known[7]
if ARGV[7] ~= '' and redis.call('ZSCORE', KEYS[2], ARGV[7]) then return { 'gone' } end

local is_other = run ~= ARGV[1]
-- Data of an older version has no mark.
local is_loaded = marked and not is_intact(KEYS[3], marked, replid)
local is_lost = is_behind(commits, lineage, ARGV[4], ARGV[5])
  or (is_other and (not run or ARGV[2] == '1' or durable ~= '1'))
  or (is_loaded and not is_other)
local raised = known[3] and is_lost
if raised then
  lineage = string.format('%.0f.%s', math.max(number_of(lineage), number_of(ARGV[5])) + 1, ARGV[6])
  redis.call('HSET', KEYS[1], 'lineage', lineage)
end
if raised or not known[5] then
  -- Beyond all sequence numbers used so far: they grow more slowly than microseconds.
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
  redis.call('HSET', KEYS[1], 'seq', string.format('%.0f', math.max(now, tonumber(known[5]) or 0)),
    'began', string.format('%.0f', time_of(ARGV[9])))
end
if is_other or raised or durable ~= ARGV[3] then
  redis.call('HSET', KEYS[1], 'run', ARGV[1], 'durable', ARGV[3], 'commits', commits)
end
if is_other or is_loaded or not marked then
  local is_marked = make_mark(KEYS[3])
  redis.call('HSET', KEYS[1], 'marked', is_marked and '1' or '0', 'replid', is_marked and '' or replication_id())
end
if ARGV[7] ~= '' then redis.call('HSET', KEYS[1], 'w:' .. ARGV[7], ARGV[8]) end
return { raised and '1' or '0', commits, lineage }
