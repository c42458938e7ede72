#!lua flags=allow-oom
-- Put messages whose worker went away back on their queues; also gives up a claim on purpose.
--
-- KEYS.unacked         unacked
-- KEYS.unacked_index   unacked index
-- KEYS.deliveries      deliveries
-- KEYS.beside…         further hashes as unacked, with an index of that name and "_index": what is abandoned there too
--                      of what the bridge claimed; the rest may be a team's, with another timeout
-- ARGV.age_s           age in s after which a claim counts as abandoned; -1: restore the given tags
-- ARGV.most            messages to restore at most
-- ARGV.died            1 if coming back counts as a death of the worker, else 0
-- ARGV.prefix          prefix of every broker key
-- ARGV.tags…           delivery tags, with an age of -1
--
-- Returns two values a message that only the caller can restore, because it was claimed by a stock
-- worker through an exchange: delivery tag and entry. Everything else is done.

local age_s = tonumber(ARGV.age_s)
local left = {}

local function restore(unacked, unacked_index, tags)
  -- The end of a list is served first: push the newest first, so that the oldest is served first again.
  for i = #tags, 1, -1 do
    local tag = tags[i]
    local entry = redis.call('HGET', unacked, tag)
    local message, exchange, queue
    if entry then message, exchange, queue = string.match(entry, '^%[(.*),%s*"([^"]*)",%s*"([^"]*)"%]$') end
    if not entry then
      redis.call('ZREM', unacked_index, tag)
    elseif message and exchange == '' then
      -- A queue that is no list holds up its own claims, and no others.
      if spare('RPUSH', ARGV.prefix .. queue, message) then
        redis.call('HDEL', unacked, tag)
        redis.call('ZREM', unacked_index, tag)
        if ARGV.died == '1' then spare('HINCRBY', KEYS.deliveries, redis.sha1hex(message), 1) end
      end
    else
      left[#left + 1] = tag
      left[#left + 1] = entry
    end
  end
end

if age_s < 0 then
  local tags = {}
  for i = AT.tags, #ARGV do tags[#tags + 1] = ARGV[i] end
  restore(KEYS.unacked, KEYS.unacked_index, tags)
else
  local oldest = now_ms() / 1000 - age_s
  local function abandoned(index, most)
    return redis.call('ZRANGE', index, '-inf', oldest, 'BYSCORE', 'LIMIT', 0, most)
  end
  -- Told by its tag, uuid:claim:number. Behind so many of a team's it is not seen.
  local function of_the_bridge(index)
    local found = {}
    for _, tag in ipairs(abandoned(index, 10000)) do
      if #found < tonumber(ARGV.most) and string.match(tag, '^[%x%-]+:%d+:%d+$') then found[#found + 1] = tag end
    end
    return found
  end
  restore(KEYS.unacked, KEYS.unacked_index, abandoned(KEYS.unacked_index, ARGV.most))
  for i = AT.beside, #KEYS do restore(KEYS[i], KEYS[i] .. '_index', of_the_bridge(KEYS[i] .. '_index')) end
end
return left
