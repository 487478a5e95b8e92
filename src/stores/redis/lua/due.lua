-- Groups of one partition that are due for a sweep.
--
-- KEYS  due (sorted set)
-- ARGV  time or '', most groups
return redis.call('ZRANGE', KEYS[1], '-inf', time_of(ARGV[1]), 'BYSCORE', 'LIMIT', 0, ARGV[2])
