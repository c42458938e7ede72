#!lua flags=allow-oom
-- Write an entry into the log of operations. Bounded, and allowed also where Redis is full: whoever frees, writes it.
--
-- KEYS: operations_log
-- ARGV.entries          entries that it keeps, about
-- ARGV.fields…          names and values of the entry

return redis.call('XADD', KEYS.operations_log, 'MAXLEN', '~', ARGV.entries, '*', unpack(ARGV, AT.fields))
