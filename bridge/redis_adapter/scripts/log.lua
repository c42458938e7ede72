-- Write an entry into the log of operations. Bounded, and allowed also where Redis is full: whoever frees, writes it.
--
-- KEYS[1]  log of operations
-- ARGV[1]  entries that it keeps, about
-- ARGV[2…] names and values of the entry

return redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, 2))
