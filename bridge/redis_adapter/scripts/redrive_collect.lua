-- Find out what became of sent letters: gone means published (or skipped); buried by this redrive means failed again.
-- Of a message that was put back as it was: there again means quarantined again; gone from the open ones means run.
--
-- KEYS: redrive sent in_redrive dead_index dead_heads unconfirmed returned open
-- ARGV.redrive       redrive id
-- ARGV.start         how many of the longest under way to pass over
-- ARGV.most          how many to look at, 1000 at most
--
-- Returns how many succeeded, failed, and are still under way, of those looked at.
--
-- Letters are looked at again and again while they are under way: few calls for many letters, not a few calls each.

local ids = redis.call('ZRANGE', KEYS.sent, ARGV.start, ARGV.start + ARGV.most - 1)
if #ids == 0 then return {0, 0, 0} end

local mark = '"replay":"' .. ARGV.redrive .. '"'
local buried = redis.call('ZMSCORE', KEYS.dead_index, unpack(ids))
local heads = redis.call('HMGET', KEYS.dead_heads, unpack(ids))
local book_ids = redis.call('HMGET', KEYS.returned, unpack(ids))

local function outcome_of(at)
  if book_ids[at] then
    if buried[at] then return 'failed' end
    return redis.call('HEXISTS', KEYS.open, book_ids[at]) == 1 and 'open' or 'done'
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
  redis.call('ZREM', KEYS.sent, unpack(letters))
  redis.call('HDEL', KEYS.in_redrive, unpack(letters))
  redis.call('SREM', KEYS.unconfirmed, unpack(letters))
  redis.call('HDEL', KEYS.returned, unpack(letters))
  spare('HINCRBY', KEYS.redrive, field, #letters)
end

if #done > 0 then redis.call('HDEL', KEYS.dead_heads, unpack(done)) end
finish(done, 'succeeded')
finish(failed, 'failed')
return {#done, #failed, #ids - #done - #failed}
