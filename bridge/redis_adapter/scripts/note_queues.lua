#!lua flags=allow-oom
-- Remember which queues there are, so that what stands on one is found when no registry names it any more.
--
-- KEYS.queues   queues: sorted set, name → when it was last named, in ms
-- ARGV.most     names to remember at most
-- ARGV.names…   names

local now = now_ms()
for a = AT.names, #ARGV do spare('ZADD', KEYS.queues, now, ARGV[a]) end
local surplus = (tonumber(redis.pcall('ZCARD', KEYS.queues)) or 0) - tonumber(ARGV.most)
if surplus > 0 then redis.call('ZREMRANGEBYRANK', KEYS.queues, 0, surplus - 1) end
return redis.status_reply('OK')
