#!lua flags=allow-oom
-- Put messages whose worker went away back on their queues; also gives up a claim on purpose.
--
-- KEYS[1]  unacked
-- KEYS[2]  unacked index
-- KEYS[3]  deliveries
-- ARGV[1]  age in s after which a claim counts as abandoned; -1: restore the tags in ARGV[5…]
-- ARGV[2]  messages to restore at the most
-- ARGV[3]  1 if coming back counts as a death of the worker, else 0
-- ARGV[4]  prefix of every broker key
-- ARGV[5…] delivery tags, with ARGV[1] = -1
--
-- Returns two values a message that only the caller can restore, because it was claimed by a stock
-- worker through an exchange: delivery tag and entry. Everything else is done.

local age_s = tonumber(ARGV[1])
local tags = {}
if age_s < 0 then
  for i = 5, #ARGV do tags[#tags + 1] = ARGV[i] end
else
  local time = redis.call('TIME')
  local oldest = tonumber(time[1]) + tonumber(time[2]) / 1000000 - age_s
  tags = redis.call('ZRANGE', KEYS[2], '-inf', oldest, 'BYSCORE', 'LIMIT', 0, ARGV[2])
end

local left = {}
-- The end of a list is served first: push the newest first, so that the oldest is served first again.
for i = #tags, 1, -1 do
  local tag = tags[i]
  local entry = redis.call('HGET', KEYS[1], tag)
  local message, exchange, queue
  if entry then message, exchange, queue = string.match(entry, '^%[(.*),%s*"([^"]*)",%s*"([^"]*)"%]$') end
  if not entry then
    redis.call('ZREM', KEYS[2], tag)
  elseif message and exchange == '' then
    redis.call('RPUSH', ARGV[4] .. queue, message)
    if ARGV[3] == '1' then redis.call('HINCRBY', KEYS[3], redis.sha1hex(message), 1) end
    redis.call('HDEL', KEYS[1], tag)
    redis.call('ZREM', KEYS[2], tag)
  else
    left[#left + 1] = tag
    left[#left + 1] = entry
  end
end
return left
