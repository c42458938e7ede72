-- Take a quarantined message apart: each of its events becomes a dead letter of its own, pending in the same replay.
-- For a broker that is not this server: nothing can put the message back there and take its letter out in one step.
--
-- KEYS[1]  replay
-- KEYS[2]  its pending letters
-- KEYS[3]  dead index
-- KEYS[4]  dead letters
-- KEYS[5]  heads of the dead letters
-- KEYS[6]  weights of letters that hold a whole message
-- KEYS[7]  counts
-- KEYS[8]  retry due
-- KEYS[9]  retry records
-- KEYS[10] strays
-- ARGV[1]  owner of the lease
-- ARGV[2]  letter id
-- ARGV[3]  letters to keep at the most
-- ARGV[4]  bytes of letters to keep at the most
-- ARGV[5…] three an event: id, letter, head
--
-- Returns 'unfolded'; 'gone' if the letter is not there any more; 'full' if there is no room for so many letters, so
-- that others would be pushed out; 'lease' if another process runs this replay.

local id, events = ARGV[2], (#ARGV - 4) / 3
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return redis.status_reply('lease') end
if redis.call('ZREM', KEYS[2], id) == 0 then return redis.status_reply('gone') end
local buried_at = redis.call('ZSCORE', KEYS[3], id)
if not buried_at then
  redis.call('HINCRBY', KEYS[1], 'gone', 1)
  return redis.status_reply('gone')
end
local bytes = tonumber(redis.call('HGET', KEYS[7], 'dead_bytes') or 0) - redis.call('HSTRLEN', KEYS[4], id)
for a = 5, #ARGV, 3 do bytes = bytes + #ARGV[a + 1] end
if redis.call('ZCARD', KEYS[3]) + events - 1 > tonumber(ARGV[3]) or bytes > tonumber(ARGV[4]) then
  redis.call('HINCRBY', KEYS[1], 'unsendable', 1)
  return redis.status_reply('full')
end

local tokens = tonumber(redis.call('HGET', KEYS[6], id) or 1)
redis.call('ZREM', KEYS[3], id)
delete_letters(KEYS[4], {id})
redis.call('HDEL', KEYS[5], id)
redis.call('HDEL', KEYS[6], id)
count('dead_bundled', 1 - tokens)

local letters, pending = 0, 0
for a = 5, #ARGV, 3 do
  local event_id = ARGV[a]
  if take_retry(KEYS[8], KEYS[9], event_id) and not end_stray(KEYS[10], 'retry', event_id) then tokens = tokens + 1 end
  if redis.call('HSETNX', KEYS[4], event_id, ARGV[a + 1]) == 1 then
    redis.call('HSET', KEYS[5], event_id, ARGV[a + 2])
    redis.call('ZADD', KEYS[3], buried_at, event_id)
    count('dead_bytes', #ARGV[a + 1])
    letters = letters + 1
  end
  pending = pending + redis.call('ZADD', KEYS[2], 0, event_id)
end
-- Of a message that nobody announced, the letter was one token; an event that has a letter already has its token there.
if letters > tokens then
  count('accepted', letters - tokens)
else
  count('duplicate', tokens - letters)
end
write_counts(KEYS[7])
redis.call('HINCRBY', KEYS[1], 'total', pending - 1)
return redis.status_reply('unfolded')
