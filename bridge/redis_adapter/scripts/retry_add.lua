-- Let failed events wait for their next attempt.
--
-- KEYS: retry_due retry_records counts open metrics dead_letters strays
-- ARGV.most              most records that may wait
-- ARGV.message_id        id in the accounting of the message that brought them; '' if they came from the retry set
-- ARGV.event_type        event type
-- ARGV.only_unfinished   1: leave an event alone that is neither with its message nor waiting: it ended meanwhile
-- ARGV.events…           four an event: event id, attempt that failed, wait in ms, record
--
-- Returns the ids that found no room. Adding the same attempt again changes nothing; neither does a second run of an
-- event that was dead-lettered by the first.

insist('HLEN', KEYS.retry_records, KEYS.counts, KEYS.open, KEYS.dead_letters)
insist('ZCARD', KEYS.retry_due)
insist('SCARD', KEYS.strays)
local now, refused = now_ms(), {}
local message = open_message(KEYS.open, ARGV.message_id)

-- An event that its message brought though it is waiting was accounted for twice, but for one that waits as a late failure.
-- One without an accept record is a late failure, unless a first run has dead-lettered it. Returns whether it is to wait.
local function account(id, is_waiting)
  local brought = message.take(id)
  if is_waiting then
    if brought and not end_stray(KEYS.strays, 'retry', id) then count('duplicate') end
    return true
  end
  if brought then return true end
  if redis.call('HEXISTS', KEYS.dead_letters, id) == 1 then return false end
  add_stray(KEYS.strays, 'retry', id)
  return true
end

local function add(id, attempt, wait_ms, record)
  local known = redis.call('HGET', KEYS.retry_records, id)
  if not known and ARGV.only_unfinished == '1' and not message.has(id) then return end
  if not known and redis.call('HLEN', KEYS.retry_records) >= tonumber(ARGV.most) then
    refused[#refused + 1] = id
    count('retry_full')
    return
  end
  local known_attempt = known and tonumber(string.match(known, '^(%d+):')) or 0
  -- Adding the same attempt again must not put it off.
  if account(id, known) and known_attempt < tonumber(attempt) then
    redis.call('HSET', KEYS.retry_records, id, attempt .. ':' .. record)
    redis.call('ZADD', KEYS.retry_due, now + wait_ms, id)
    count('retried')
  end
end

for a = AT.events, #ARGV, 4 do add(ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3]) end

message.save()
if (tally.retried or 0) > 0 then spare('HINCRBY', KEYS.metrics, 'retried:' .. ARGV.event_type, tally.retried) end
if #refused > 0 then spare('HINCRBY', KEYS.metrics, 'retry_full:' .. ARGV.event_type, #refused) end
write_counts(KEYS.counts)
return refused
