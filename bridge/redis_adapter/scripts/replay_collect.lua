-- Find out what became of sent letters: gone means published (or skipped); buried by this replay means failed again.
-- Of a message that was put back as it was: there again means quarantined again; gone from the open ones means run.
--
-- KEYS[1]  replay
-- KEYS[2]  its sent letters
-- KEYS[3]  letters in any replay
-- KEYS[4]  dead index
-- KEYS[5]  heads of the dead letters
-- KEYS[6]  letters that the broker has not confirmed
-- KEYS[7]  returned messages: hash, letter id → id in the books
-- KEYS[8]  open messages
-- ARGV[1]  replay id
-- ARGV[2]  how many of the longest under way to pass over
-- ARGV[3]  how many to look at, 1000 at the most
--
-- Returns how many succeeded, failed, and are still under way, of those looked at.
--
-- Letters are looked at again and again while they are under way: few calls for many letters, not a few calls each.

local ids = redis.call('ZRANGE', KEYS[2], ARGV[2], ARGV[2] + ARGV[3] - 1)
if #ids == 0 then return {0, 0, 0} end

local mark = '"replay":"' .. ARGV[1] .. '"'
local buried = redis.call('ZMSCORE', KEYS[4], unpack(ids))
local heads = redis.call('HMGET', KEYS[5], unpack(ids))
local book_ids = redis.call('HMGET', KEYS[7], unpack(ids))

local function outcome_of(at)
  if book_ids[at] then
    if buried[at] then return 'failed' end
    return redis.call('HEXISTS', KEYS[8], book_ids[at]) == 1 and 'open' or 'done'
  end
  if not buried[at] then return 'done' end
  return string.find(heads[at] or '', mark, 1, true) and 'failed' or 'open'
end

local done, failed = {}, {}
for at, id in ipairs(ids) do
  local outcome = outcome_of(at)
  if outcome == 'done' then done[#done + 1] = id end
  if outcome == 'failed' then failed[#failed + 1] = id end
end

local function finish(letters, field)
  if #letters == 0 then return end
  redis.call('ZREM', KEYS[2], unpack(letters))
  redis.call('HDEL', KEYS[3], unpack(letters))
  redis.call('SREM', KEYS[6], unpack(letters))
  redis.call('HDEL', KEYS[7], unpack(letters))
  redis.call('HINCRBY', KEYS[1], field, #letters)
end

if #done > 0 then redis.call('HDEL', KEYS[5], unpack(done)) end
finish(done, 'succeeded')
finish(failed, 'failed')
return {#done, #failed, #ids - #done - #failed}
