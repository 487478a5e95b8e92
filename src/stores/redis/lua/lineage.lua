-- What the scripts share to prove that the data is still what it was: nobody has put an older copy of it in
-- place. The server's process and the writers' connections may well be the same as before: a master that is
-- made a replica for a moment loads what its new master has; DEBUG RELOAD, FLUSHALL and RESTORE load a file
-- or a dump.

-- How the server keeps a string that was appended to. One that it loads from a file, a dump or a master it
-- keeps in another way, so this cannot come from a copy.
local MARKED = 'raw'

-- The name that the server gives to its history of writes. It takes another one when it was a replica.
local function replication_id()
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or ''
end

-- Marks the data as it is in the memory of this server. Replicas and the append-only file get the value of
-- the key, but not the mark.
-- Returns whether the server keeps marks.
local function make_mark(mark_key)
  redis.call('SET', mark_key, 'here')
  redis.set_repl(redis.REPL_NONE)
  redis.call('APPEND', mark_key, '')
  redis.set_repl(redis.REPL_ALL)
  return redis.call('OBJECT', 'ENCODING', mark_key) == MARKED
end

-- Whether the data is that which was marked here, and not a copy of it. A server without marks says at least
-- whether it was a replica in between.
local function is_intact(mark_key, marked, replid)
  if marked == '1' then return redis.call('OBJECT', 'ENCODING', mark_key) == MARKED end
  return marked == '0' and replid == replication_id()
end

-- Lineages and fences begin with a number that grows, so that a later one is recognised.
local function number_of(name) return tonumber(string.match(name, '^%d+')) or 0 end

-- Whether the data has less than somebody knows of.
local function is_behind(commits, lineage, known_commits, known_lineage)
  if lineage == known_lineage then return commits < tonumber(known_commits) end
  return number_of(lineage) < number_of(known_lineage)
end
