-- Find out what became of sent letters: gone means published (or skipped); buried by this replay means failed again.
-- Of a message that was put back as it was: there again means quarantined again; gone from the open ones means run.
--
-- KEYS[1]  replay
-- KEYS[2]  its sent letters
-- KEYS[3]  letters in any replay
-- KEYS[4]  dead letters
-- KEYS[5]  heads of the dead letters
-- KEYS[6]  letters that the broker has not confirmed
-- KEYS[7]  returned messages: hash, letter id → id in the books
-- KEYS[8]  open messages
-- ARGV[1]  replay id
-- ARGV[2]  how many of the longest under way to pass over
-- ARGV[3]  how many to look at
--
-- Returns how many succeeded, failed, and are still under way, of those looked at.

local done, failed, open = 0, 0, 0
local mark = '"replay":"' .. ARGV[1] .. '"'

local function outcome_of(id)
  local there, book_id = redis.call('HEXISTS', KEYS[4], id) == 1, redis.call('HGET', KEYS[7], id)
  if book_id then
    if there then return 'failed' end
    return redis.call('HEXISTS', KEYS[8], book_id) == 1 and 'open' or 'done'
  end
  if not there then return 'done' end
  return string.find(redis.call('HGET', KEYS[5], id) or '', mark, 1, true) and 'failed' or 'open'
end

for _, id in ipairs(redis.call('ZRANGE', KEYS[2], ARGV[2], ARGV[2] + ARGV[3] - 1)) do
  local outcome = outcome_of(id)
  if outcome == 'open' then
    open = open + 1
  else
    if outcome == 'done' then
      done = done + 1
      redis.call('HDEL', KEYS[5], id)
    else
      failed = failed + 1
    end
    redis.call('ZREM', KEYS[2], id)
    redis.call('HDEL', KEYS[3], id)
    redis.call('SREM', KEYS[6], id)
    redis.call('HDEL', KEYS[7], id)
  end
end
if done > 0 then redis.call('HINCRBY', KEYS[1], 'succeeded', done) end
if failed > 0 then redis.call('HINCRBY', KEYS[1], 'failed', failed) end
return {done, failed, open}
