#!lua flags=allow-oom
-- Remember which queues there are, so that what stands on one is found when no registry names it any more.
--
-- KEYS.queues   queues: sorted set, name → when it was last named, in ms
-- ARGV.most     names to remember at most
-- ARGV.names…   names

local now = now_ms()
for a = AT.names, #ARGV do redis.call('ZADD', KEYS.queues, now, ARGV[a]) end
local surplus = redis.call('ZCARD', KEYS.queues) - tonumber(ARGV.most)
if surplus > 0 then redis.call('ZREMRANGEBYRANK', KEYS.queues, 0, surplus - 1) end
return redis.status_reply('OK')
