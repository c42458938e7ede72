-- Put sent letters that have no outcome back among the pending ones; a person asked for it.
--
-- KEYS: redrive pending sent in_redrive unconfirmed
-- ARGV.most          letters at most
--
-- A message that was put back as it was is no letter any more: it counts as gone when its turn comes.
-- Returns how many.

local ids = redis.call('ZRANGE', KEYS.sent, 0, ARGV.most - 1)
for _, id in ipairs(ids) do
  redis.call('ZREM', KEYS.sent, id)
  redis.call('ZADD', KEYS.pending, 0, id)
  redis.call('HDEL', KEYS.in_redrive, id)
  redis.call('SREM', KEYS.unconfirmed, id)
end
if #ids > 0 then spare('HINCRBY', KEYS.redrive, 'sent', -#ids) end
return #ids
