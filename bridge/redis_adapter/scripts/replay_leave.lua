-- Take letters off a replay's pending ones without sending them, and count why.
--
-- KEYS[1]  replay
-- KEYS[2]  its pending letters
-- ARGV[1]  why: a field of the replay
-- ARGV[2…] letter ids

local left = 0
for a = 2, #ARGV do left = left + redis.call('ZREM', KEYS[2], ARGV[a]) end
if left > 0 then redis.call('HINCRBY', KEYS[1], ARGV[1], left) end
return left
