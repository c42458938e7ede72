-- Put a quarantined message back on its queue as it was, and its events back on their way, in one step.
--
-- KEYS[1]  replay
-- KEYS[2]  its pending letters
-- KEYS[3]  its sent letters
-- KEYS[4]  its returned messages: hash, letter id → id in the books
-- KEYS[5]  dead index
-- KEYS[6]  dead letters
-- KEYS[7]  heads of the dead letters
-- KEYS[8]  weights of letters that hold a whole message
-- KEYS[9]  counts
-- KEYS[10] open messages
-- KEYS[11] queue
-- ARGV[1]  owner of the lease
-- ARGV[2]  letter id
-- ARGV[3]  the message
-- ARGV[4]  its id in the books; '' if its events are waiting retries or letters of their own
-- ARGV[5]  what follows the time in its record, without the ids
-- ARGV[6]  ids of its events, 16 bytes each
-- ARGV[7]  s to keep the returned messages
--
-- Returns 'sent'; 'gone' if the letter is not there any more; 'lease' if another process runs this replay.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local id, book_id = ARGV[2], ARGV[4]
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return redis.status_reply('lease') end
if redis.call('ZREM', KEYS[2], id) == 0 then return redis.status_reply('gone') end
if delete_letters(KEYS[6], {id}) == 0 then
  redis.call('HINCRBY', KEYS[1], 'gone', 1)
  return redis.status_reply('gone')
end

local weight, events = tonumber(redis.call('HGET', KEYS[8], id) or 1), #ARGV[6] / 16
redis.call('ZREM', KEYS[5], id)
redis.call('HDEL', KEYS[7], id)
redis.call('HDEL', KEYS[8], id)
count('dead_bundled', 1 - weight)
if book_id == '' then
  count('duplicate', weight)
else
  -- Another part of the same message may be on its way.
  local record = redis.call('HGET', KEYS[10], book_id) or (string.format('%013.0f', now) .. ' ' .. ARGV[5])
  redis.call('HSET', KEYS[10], book_id, record .. ARGV[6])
  count('open', events)
  -- Of a message that nobody announced, the letter was one token; of one that ended in part, the rest.
  if events > weight then
    count('accepted', events - weight)
  else
    count('duplicate', weight - events)
  end
end
write_counts(KEYS[9])

redis.call('ZADD', KEYS[3], now, id)
redis.call('HSET', KEYS[4], id, book_id)
redis.call('EXPIRE', KEYS[4], ARGV[7])
redis.call('HINCRBY', KEYS[1], 'sent', 1)
redis.call('LPUSH', KEYS[11], ARGV[3])
return redis.status_reply('sent')
