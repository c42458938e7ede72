-- Let failed events wait for their next attempt.
--
-- KEYS[1]  due: sorted set, event id → due time in ms
-- KEYS[2]  records: hash, event id → '<attempt>:<record>'
-- KEYS[3]  counts
-- KEYS[4]  open messages
-- KEYS[5]  metrics
-- KEYS[6]  dead letters
-- KEYS[7]  strays
-- ARGV[1]  most records that may wait
-- ARGV[2]  id in the books of the message that brought them; '' if they came from the retry set
-- ARGV[3]  event type
-- ARGV[4]  1: leave an event alone that is neither with its message nor waiting, since it ended meanwhile; else 0
-- ARGV[5…] four an event: event id, attempt that failed, wait in ms, record
--
-- Returns the ids that found no room. Adding the same attempt again changes nothing; neither does a second run of an
-- event that was buried by the first.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local most, only_unfinished, refused = tonumber(ARGV[1]), ARGV[4] == '1', {}
local message = open_message(KEYS[4], ARGV[2])

for a = 5, #ARGV, 4 do
  local id, attempt, wait_ms, record = ARGV[a], tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2]), ARGV[a + 3]
  local known = redis.call('HGET', KEYS[2], id)
  local known_attempt = known and tonumber(string.match(known, '^(%d+):')) or 0
  if only_unfinished and not known and not message.has(id) then
    -- Nothing is left to try again.
  elseif not known and redis.call('HLEN', KEYS[2]) >= most then
    refused[#refused + 1] = id
    count('retry_full')
  else
    local brought = message.take(id)
    local buried = not known and not brought and redis.call('HEXISTS', KEYS[6], id) == 1
    if known and brought and not end_stray(KEYS[7], 'retry', id) then count('duplicate') end
    if not known and not brought and not buried then add_stray(KEYS[7], 'retry', id) end
    if known_attempt < attempt and not buried then
      redis.call('HSET', KEYS[2], id, ARGV[a + 1] .. ':' .. record)
      redis.call('ZADD', KEYS[1], now + wait_ms, id)
      count('retried')
    end
  end
end

message.save()
if (tally.retried or 0) > 0 then redis.call('HINCRBY', KEYS[5], 'retried:' .. ARGV[3], tally.retried) end
if #refused > 0 then redis.call('HINCRBY', KEYS[5], 'retry_full:' .. ARGV[3], #refused) end
write_counts(KEYS[3])
return refused
