-- Let failed events wait for their next attempt.
--
-- KEYS.retry_due         due: sorted set, event id → due time in ms
-- KEYS.retry_records     records: hash, event id → '<attempt>:<record>'
-- KEYS.counts            counts
-- KEYS.open              open messages
-- KEYS.metrics           metrics
-- KEYS.dead_letters      dead letters
-- KEYS.strays            strays
-- ARGV.most              most records that may wait
-- ARGV.message_id        id in the books of the message that brought them; '' if they came from the retry set
-- ARGV.event_type        event type
-- ARGV.only_unfinished   1: leave an event alone that is neither with its message nor waiting, since it ended meanwhile; else 0
-- ARGV.events…           four an event: event id, attempt that failed, wait in ms, record
--
-- Returns the ids that found no room. Adding the same attempt again changes nothing; neither does a second run of an
-- event that was buried by the first.

local now = now_ms()
local most, only_unfinished, refused = tonumber(ARGV.most), ARGV.only_unfinished == '1', {}
local message = open_message(KEYS.open, ARGV.message_id)

for a = AT.events, #ARGV, 4 do
  local id, attempt, wait_ms, record = ARGV[a], tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2]), ARGV[a + 3]
  local known = redis.call('HGET', KEYS.retry_records, id)
  local known_attempt = known and tonumber(string.match(known, '^(%d+):')) or 0
  if only_unfinished and not known and not message.has(id) then
    -- Nothing is left to try again.
  elseif not known and redis.call('HLEN', KEYS.retry_records) >= most then
    refused[#refused + 1] = id
    count('retry_full')
  else
    local brought = message.take(id)
    local buried = not known and not brought and redis.call('HEXISTS', KEYS.dead_letters, id) == 1
    if known and brought and not end_stray(KEYS.strays, 'retry', id) then count('duplicate') end
    if not known and not brought and not buried then add_stray(KEYS.strays, 'retry', id) end
    if known_attempt < attempt and not buried then
      redis.call('HSET', KEYS.retry_records, id, ARGV[a + 1] .. ':' .. record)
      redis.call('ZADD', KEYS.retry_due, now + wait_ms, id)
      count('retried')
    end
  end
end

message.save()
if (tally.retried or 0) > 0 then redis.call('HINCRBY', KEYS.metrics, 'retried:' .. ARGV.event_type, tally.retried) end
if #refused > 0 then redis.call('HINCRBY', KEYS.metrics, 'retry_full:' .. ARGV.event_type, #refused) end
write_counts(KEYS.counts)
return refused
