-- Find out what became of sent letters: gone means published (or skipped); buried by this replay means failed again.
--
-- KEYS[1]  replay
-- KEYS[2]  its sent letters
-- KEYS[3]  letters in any replay
-- KEYS[4]  dead letters
-- KEYS[5]  heads of the dead letters
-- KEYS[6]  letters that the broker has not confirmed
-- ARGV[1]  replay id
-- ARGV[2]  how many of the longest under way to pass over
-- ARGV[3]  how many to look at
--
-- Returns how many succeeded, failed, and are still under way, of those looked at.

local done, failed, open = 0, 0, 0
local mark = '"replay":"' .. ARGV[1] .. '"'

for _, id in ipairs(redis.call('ZRANGE', KEYS[2], ARGV[2], ARGV[2] + ARGV[3] - 1)) do
  local ended = true
  if redis.call('HEXISTS', KEYS[4], id) == 0 then
    done = done + 1
    redis.call('HDEL', KEYS[5], id)
  elseif string.find(redis.call('HGET', KEYS[5], id) or '', mark, 1, true) then
    failed = failed + 1
  else
    open = open + 1
    ended = false
  end
  if ended then
    redis.call('ZREM', KEYS[2], id)
    redis.call('HDEL', KEYS[3], id)
    redis.call('SREM', KEYS[6], id)
  end
end
if done > 0 then redis.call('HINCRBY', KEYS[1], 'succeeded', done) end
if failed > 0 then redis.call('HINCRBY', KEYS[1], 'failed', failed) end
return {done, failed, open}
