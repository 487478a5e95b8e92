-- Shared by the scripts to prove that the data is intact: that no older copy has replaced it. The server's
-- process and the writers' connections may be the same as before: a master that becomes a replica for a
-- moment loads the data of its new master; DEBUG RELOAD, FLUSHALL and RESTORE replace it, too.

-- The encoding of a string that was appended to. The server encodes a string that it loads from a file, a
-- dump or a master differently, so this proves that the data is no copy.
local MARKED = 'raw'

-- The server's id of its history of writes (replication id). It changes when the server was a replica.
local function replication_id()
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or ''
end

-- Marks the data in the memory of this server. Replicas and the append-only file get the value of the key,
-- but not its encoding, which is the mark.
-- Returns whether the server supports marks.
local function make_mark(mark_key)
  redis.call('SET', mark_key, 'here')
  redis.set_repl(redis.REPL_NONE)
  redis.call('APPEND', mark_key, '')
  redis.set_repl(redis.REPL_ALL)
  return redis.call('OBJECT', 'ENCODING', mark_key) == MARKED
end

-- Whether the data is the data marked here, and not a copy. A server without marks at least reveals whether
-- it was a replica meanwhile.
local function is_intact(mark_key, marked, replid)
  if marked == '1' then return redis.call('OBJECT', 'ENCODING', mark_key) == MARKED end
  return marked == '0' and replid == replication_id()
end

-- Lineages and fences begin with a growing number, so a later one is recognised.
local function number_of(name) return tonumber(string.match(name, '^%d+')) or 0 end

-- Whether the data has fewer commits than the caller knows of.
local function is_behind(commits, lineage, known_commits, known_lineage)
  if lineage == known_lineage then return commits < tonumber(known_commits) end
  return number_of(lineage) < number_of(known_lineage)
end
