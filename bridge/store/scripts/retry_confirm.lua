-- Stop the clock of retries that are back on their queue. Their records stay until the event is settled.
--
-- KEYS[1]  due
-- ARGV[1]  end of the lease under which they were claimed
-- ARGV[2…] event ids
--
-- A retry whose due time is no longer the lease's has failed again in the meantime, and must keep waiting.

for a = 2, #ARGV do
  local due = redis.call('ZSCORE', KEYS[1], ARGV[a])
  if due and tonumber(due) == tonumber(ARGV[1]) then redis.call('ZREM', KEYS[1], ARGV[a]) end
end
return redis.status_reply('OK')
