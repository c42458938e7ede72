-- Take a quarantined message apart: each of its events becomes a dead letter of its own, pending in the same replay.
-- For a broker that is not this server: nothing can put the message back there and take its letter out in one step.
--
-- KEYS.replay          replay
-- KEYS.pending         its pending letters
-- KEYS.dead_index      dead index
-- KEYS.dead_letters    dead letters
-- KEYS.dead_heads      heads of the dead letters
-- KEYS.dead_weights    weights of letters that hold a whole message
-- KEYS.counts          counts
-- KEYS.retry_due       retry due
-- KEYS.retry_records   retry records
-- KEYS.strays          strays
-- ARGV.owner           owner of the lease
-- ARGV.id              letter id
-- ARGV.most            letters to keep at the most
-- ARGV.bytes_max       bytes of letters to keep at the most
-- ARGV.letters…        three an event: id, letter, head
--
-- Returns 'unfolded'; 'gone' if the letter is not there any more; 'full' if there is no room for so many letters, so
-- that others would be pushed out; 'lease' if another process runs this replay.

local id, events = ARGV.id, (#ARGV - AT.letters + 1) / 3
if redis.call('HGET', KEYS.replay, 'owner') ~= ARGV.owner then return redis.status_reply('lease') end
if redis.call('ZREM', KEYS.pending, id) == 0 then return redis.status_reply('gone') end
local buried_at = redis.call('ZSCORE', KEYS.dead_index, id)
if not buried_at then
  redis.call('HINCRBY', KEYS.replay, 'gone', 1)
  return redis.status_reply('gone')
end
local bytes = tonumber(redis.call('HGET', KEYS.counts, 'dead_bytes') or 0)
bytes = bytes - redis.call('HSTRLEN', KEYS.dead_letters, id)
for a = AT.letters, #ARGV, 3 do bytes = bytes + #ARGV[a + 1] end
local letters_then = redis.call('ZCARD', KEYS.dead_index) + events - 1
if letters_then > tonumber(ARGV.most) or bytes > tonumber(ARGV.bytes_max) then
  redis.call('HINCRBY', KEYS.replay, 'unsendable', 1)
  return redis.status_reply('full')
end

local tokens = take_weight(KEYS.dead_weights, id)
take_letter(KEYS.dead_index, KEYS.dead_letters, KEYS.dead_heads, id)

local letters, pending = 0, 0
for a = AT.letters, #ARGV, 3 do
  local event_id = ARGV[a]
  if take_retry(KEYS.retry_due, KEYS.retry_records, event_id) and not end_stray(KEYS.strays, 'retry', event_id) then tokens = tokens + 1 end
  if redis.call('HSETNX', KEYS.dead_letters, event_id, ARGV[a + 1]) == 1 then
    redis.call('HSET', KEYS.dead_heads, event_id, ARGV[a + 2])
    redis.call('ZADD', KEYS.dead_index, buried_at, event_id)
    count('dead_bytes', #ARGV[a + 1])
    letters = letters + 1
  end
  pending = pending + redis.call('ZADD', KEYS.pending, 0, event_id)
end
-- Of a message that nobody announced, the letter was one token; an event that has a letter already has its token there.
if letters > tokens then
  count('accepted', letters - tokens)
else
  count('duplicate', tokens - letters)
end
write_counts(KEYS.counts)
redis.call('HINCRBY', KEYS.replay, 'total', pending - 1)
return redis.status_reply('unfolded')
