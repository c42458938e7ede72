-- Remember which queues there are, so that what stands on one is found when no registry names it any more.
--
-- KEYS[1]  queues: sorted set, name → when it was last named, in ms
-- ARGV[1]  names to remember at the most
-- ARGV[2…] names

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
for a = 2, #ARGV do redis.call('ZADD', KEYS[1], now, ARGV[a]) end
local surplus = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[1])
if surplus > 0 then redis.call('ZREMRANGEBYRANK', KEYS[1], 0, surplus - 1) end
return redis.status_reply('OK')
