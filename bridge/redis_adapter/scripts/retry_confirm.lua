-- Put off retries that are back on their queue. They leave the retry set when their event is settled.
--
-- KEYS[1]  due
-- ARGV[1]  end of the lease under which they were claimed
-- ARGV[2]  ms after which they are sent again if nothing has become of them: the broker lost the message
-- ARGV[3…] event ids
--
-- A retry whose due time is no longer the lease's has failed again in the meantime, and keeps its own time.

for a = 3, #ARGV do
  local due = redis.call('ZSCORE', KEYS[1], ARGV[a])
  if due and tonumber(due) == tonumber(ARGV[1]) then
    redis.call('ZADD', KEYS[1], string.format('%.1f', tonumber(due) + tonumber(ARGV[2])), ARGV[a])
  end
end
return redis.status_reply('OK')
