-- Keep what a producer says of itself.
--
-- KEYS[1]  producers: hash, producer → JSON
-- ARGV[1]  producers to remember at the most
-- ARGV[2]  producer
-- ARGV[3]  the JSON object without its opening brace; "at" is put before it, in ms of Redis time

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('HSET', KEYS[1], ARGV[2], '{"at":' .. string.format('%.0f', now) .. ',' .. ARGV[3])

-- The killed never leave: forget those that have said nothing for longest, a tenth at a time.
local most = tonumber(ARGV[1])
if redis.call('HLEN', KEYS[1]) <= most then return redis.status_reply('OK') end
local said, all = {}, redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  said[#said + 1] = {tonumber(string.match(all[i + 1], '^{"at":(%d+)')) or 0, all[i]}
end
table.sort(said, function(one, other) return one[1] < other[1] end)
for i = 1, #said - math.floor(most * 0.9) do redis.call('HDEL', KEYS[1], said[i][2]) end
return redis.status_reply('OK')
