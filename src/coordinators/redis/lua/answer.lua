-- Stores how a member carried out an order, and notifies the process that issued it.
-- KEYS: 1 answers to the order, 2 channel of the process that issued it
-- ARGV: 1 id of the order, 2 member, 3 answer (JSON), 4 time in ms until the answers expire
-- Returns: 1
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('SPUBLISH', KEYS[2], ARGV[1])
return 1
