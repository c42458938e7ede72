#!lua flags=allow-oom
-- Keep what a producer says of itself.
--
-- KEYS: producers
-- ARGV.most        producers to remember at most
-- ARGV.producer    producer
-- ARGV.report      the JSON object without its opening brace; "at" is put before it, in ms of Redis time

local now = now_ms()
redis.call('HSET', KEYS.producers, ARGV.producer, '{"at":' .. digits(now) .. ',' .. ARGV.report)

-- The killed never leave: forget those that have said nothing for longest, a tenth at a time.
local most = tonumber(ARGV.most)
if redis.call('HLEN', KEYS.producers) <= most then return redis.status_reply('OK') end
local said, all = {}, redis.call('HGETALL', KEYS.producers)
for i = 1, #all, 2 do
  said[#said + 1] = {tonumber(string.match(all[i + 1], '^{"at":(%d+)')) or 0, all[i]}
end
table.sort(said, function(one, other) return one[1] < other[1] end)
for i = 1, #said - math.floor(most * 0.9) do redis.call('HDEL', KEYS.producers, said[i][2]) end
return redis.status_reply('OK')
