#!lua flags=allow-oom
-- Put messages whose worker went away back on their queues; also gives up a claim on purpose.
--
-- KEYS.unacked         unacked
-- KEYS.unacked_index   unacked index
-- KEYS.deliveries      deliveries
-- ARGV.age_s           age in s after which a claim counts as abandoned; -1: restore the given tags
-- ARGV.most            messages to restore at most
-- ARGV.died            1 if coming back counts as a death of the worker, else 0
-- ARGV.prefix          prefix of every broker key
-- ARGV.tags…           delivery tags, with an age of -1
--
-- Returns two values a message that only the caller can restore, because it was claimed by a stock
-- worker through an exchange: delivery tag and entry. Everything else is done.

local age_s = tonumber(ARGV.age_s)
local tags = {}
if age_s < 0 then
  for i = AT.tags, #ARGV do tags[#tags + 1] = ARGV[i] end
else
  local oldest = now_ms() / 1000 - age_s
  tags = redis.call('ZRANGE', KEYS.unacked_index, '-inf', oldest, 'BYSCORE', 'LIMIT', 0, ARGV.most)
end

local left = {}
-- The end of a list is served first: push the newest first, so that the oldest is served first again.
for i = #tags, 1, -1 do
  local tag = tags[i]
  local entry = redis.call('HGET', KEYS.unacked, tag)
  local message, exchange, queue
  if entry then message, exchange, queue = string.match(entry, '^%[(.*),%s*"([^"]*)",%s*"([^"]*)"%]$') end
  if not entry then
    redis.call('ZREM', KEYS.unacked_index, tag)
  elseif message and exchange == '' then
    -- A queue that is no list holds up its own claims, and no others.
    if spare('RPUSH', ARGV.prefix .. queue, message) then
      redis.call('HDEL', KEYS.unacked, tag)
      redis.call('ZREM', KEYS.unacked_index, tag)
      if ARGV.died == '1' then spare('HINCRBY', KEYS.deliveries, redis.sha1hex(message), 1) end
    end
  else
    left[#left + 1] = tag
    left[#left + 1] = entry
  end
end
return left
