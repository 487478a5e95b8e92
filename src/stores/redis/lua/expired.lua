-- Items of one partition whose time has passed, the longest overdue first.
--
-- KEYS  lifetimes (sorted set)
-- ARGV  time or '', most items
-- Returns group and item, time, ...
return redis.call('ZRANGE', KEYS[1], '-inf', time_of(ARGV[1]), 'BYSCORE', 'LIMIT', 0, ARGV[2], 'WITHSCORES')
