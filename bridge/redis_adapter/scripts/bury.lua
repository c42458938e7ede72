-- Keep dead letters, and end the retries of their events.
--
-- KEYS: dead_index dead_letters counts retry_due retry_records open dead_weights metrics dead_heads strays
-- ARGV.most              letters to keep at most
-- ARGV.bytes_max         bytes of letters to keep at most; the newest stays, however large
-- ARGV.life_ms           ms to keep a letter
-- ARGV.message_id        id in the accounting of the message that brought them; '' if they came from elsewhere
-- ARGV.holds             '0' if each letter is an event; '1' if the one letter is the whole message; otherwise it is a
--                        part of it, and this is a blank and the ids of its events, with blanks between them
-- ARGV.event_type        event type; '' if unknown
-- ARGV.only_unfinished   1: leave an event alone that is neither with its message, nor waiting, nor dead-lettered: it ended
-- ARGV.letters…          three a letter: id, letter, head
--
-- Returns how many letters were evicted. Writing the same letter again replaces it.

local EVICTED_MAX = 1000  -- a bound on how long one call may take; the next one evicts the rest
insist('HLEN', KEYS.dead_letters, KEYS.dead_heads, KEYS.dead_weights, KEYS.counts, KEYS.open, KEYS.retry_records)
insist('ZCARD', KEYS.dead_index, KEYS.retry_due)
insist('SCARD', KEYS.strays)
local now, holds_message = now_ms(), ARGV.holds ~= '0'
local message = open_message(KEYS.open, ARGV.message_id)

-- How many events move from elsewhere into this letter: from the retry set, and from the record of their message.
local function take_events(id)
  local events = 0
  if take_accounted_retry(KEYS.retry_due, KEYS.retry_records, KEYS.strays, id) then events = 1 end
  if ARGV.holds == '1' then return events + message.take_all() end
  if not holds_message then return events + (message.take(id) and 1 or 0) end
  for event_id in string.gmatch(ARGV.holds, '%S+') do
    if message.take(event_id) then events = events + 1 end
  end
  return events
end

-- A letter that holds a message counts as its events. If the accounting knew of none, no producer announced the message, and
-- it is accepted here.
local function weigh(id, events)
  if events == 0 then
    count('accepted')
  elseif events > 1 then
    redis.call('HSET', KEYS.dead_weights, id, events)
    count('dead_bundled', events - 1)
  end
end

local function bury(id, letter, head)
  local is_new = put_letter(KEYS.dead_index, KEYS.dead_letters, KEYS.dead_heads, now, id, letter, head)
  local events = take_events(id)
  if not is_new then
    count('duplicate', events)
    return
  end
  count('dead')
  if holds_message then
    weigh(id, events)
  elseif events == 0 then
    add_stray(KEYS.strays, 'dead', id)
  else
    count('duplicate', events - 1)
  end
end

local function has_ended(id)
  return not message.has(id) and redis.call('HEXISTS', KEYS.retry_records, id) == 0
    and redis.call('HEXISTS', KEYS.dead_letters, id) == 0
end

for a = AT.letters, #ARGV, 3 do
  if ARGV.only_unfinished ~= '1' or not has_ended(ARGV[a]) then bury(ARGV[a], ARGV[a + 1], ARGV[a + 2]) end
end

-- Then the bounds: time, number, bytes. The oldest letters go first.

local evicted = 0

-- Each call leaves no more than the bound. A number that is larger before one, or none, may be a stranger's, and no letter
-- is evicted for that: it is counted anew.
local function held_bytes()
  local bytes = whole(redis.call('HGET', KEYS.counts, 'dead_bytes') or '0')
  if bytes and bytes >= 0 and bytes <= tonumber(ARGV.bytes_max) then return bytes end
  bytes = 0
  for _, id in ipairs(redis.call('ZRANGE', KEYS.dead_index, 0, -1)) do
    bytes = bytes + redis.call('HSTRLEN', KEYS.dead_letters, id)
  end
  bytes = bytes - (tally.dead_bytes or 0)
  redis.call('HSET', KEYS.counts, 'dead_bytes', digits(bytes))
  return bytes
end

local function evict(ids)
  for _, id in ipairs(ids) do
    take_letter(KEYS.dead_index, KEYS.dead_letters, KEYS.dead_heads, id)
    redis.call('SREM', KEYS.strays, 'dead:' .. id)
    count('dead_evicted', take_weight(KEYS.dead_weights, id))
    evicted = evicted + 1
  end
end

local function oldest(number)
  return redis.call('ZRANGE', KEYS.dead_index, 0, math.min(number, EVICTED_MAX) - 1)
end

evict(redis.call('ZRANGE', KEYS.dead_index, '-inf', now - ARGV.life_ms, 'BYSCORE', 'LIMIT', 0, EVICTED_MAX))
local surplus = redis.call('ZCARD', KEYS.dead_index) - ARGV.most
if surplus > 0 then evict(oldest(surplus)) end

-- The newest letter stays, however large.
local bytes_before = held_bytes()
local function is_too_large() return bytes_before + (tally.dead_bytes or 0) > tonumber(ARGV.bytes_max) end
for _, id in ipairs(is_too_large() and oldest(redis.call('ZCARD', KEYS.dead_index) - 1) or {}) do
  if is_too_large() then evict({id}) end
end

message.save()
if (tally.dead or 0) > 0 then spare('HINCRBY', KEYS.metrics, 'dead:' .. ARGV.event_type, tally.dead) end
write_counts(KEYS.counts)
return evicted
