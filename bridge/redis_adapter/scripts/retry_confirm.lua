#!lua flags=allow-oom
-- Put off retries that are back on their queue. They leave the retry set when their event is settled.
--
-- KEYS: retry_due
-- ARGV.lease       end of the lease under which they were claimed
-- ARGV.resend_ms   ms after which they are sent again if nothing has become of them: the broker lost the message
-- ARGV.ids…        event ids
--
-- A retry whose due time is no longer the lease's has failed again in the meantime, and keeps its own time.

for a = AT.ids, #ARGV do
  local due = redis.call('ZSCORE', KEYS.retry_due, ARGV[a])
  if due and tonumber(due) == tonumber(ARGV.lease) then
    redis.call('ZADD', KEYS.retry_due, string.format('%.1f', tonumber(due) + tonumber(ARGV.resend_ms)), ARGV[a])
  end
end
return redis.status_reply('OK')
