-- Take letters off a redrive's pending ones without sending them, and count why.
--
-- KEYS: redrive pending
-- ARGV.reason    why: a field of the redrive
-- ARGV.ids…      letter ids

local left = 0
for a = AT.ids, #ARGV do left = left + redis.call('ZREM', KEYS.pending, ARGV[a]) end
if left > 0 then spare('HINCRBY', KEYS.redrive, ARGV.reason, left) end
return left
