-- Put sent letters that have no outcome back among the pending ones; a person asked for it.
--
-- KEYS[1]  replay
-- KEYS[2]  its pending letters
-- KEYS[3]  its sent letters
-- KEYS[4]  letters in any replay
-- KEYS[5]  letters that the broker has not confirmed
-- ARGV[1]  letters at the most
--
-- A message that was put back as it was is no letter any more: it counts as gone when its turn comes.
-- Returns how many.

local ids = redis.call('ZRANGE', KEYS[3], 0, ARGV[1] - 1)
for _, id in ipairs(ids) do
  redis.call('ZREM', KEYS[3], id)
  redis.call('ZADD', KEYS[2], 0, id)
  redis.call('HDEL', KEYS[4], id)
  redis.call('SREM', KEYS[5], id)
end
if #ids > 0 then redis.call('HINCRBY', KEYS[1], 'sent', -#ids) end
return #ids
