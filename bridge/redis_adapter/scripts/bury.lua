-- Keep dead letters, and end the retries of their events.
--
-- KEYS.dead_index        index: sorted set, letter id → when it was buried, in ms
-- KEYS.dead_letters      letters: hash, letter id → letter
-- KEYS.counts            counts
-- KEYS.retry_due         retry due
-- KEYS.retry_records     retry records
-- KEYS.open              open messages
-- KEYS.dead_weights      weights: hash, letter that holds a whole message → how many events
-- KEYS.metrics           metrics
-- KEYS.dead_heads        heads: hash, letter id → what a search looks at
-- KEYS.strays            strays
-- ARGV.most              letters to keep at the most
-- ARGV.bytes_max         bytes of letters to keep at the most; the newest stays, however large
-- ARGV.life_ms           ms to keep a letter
-- ARGV.message_id        id in the books of the message that brought them; '' if they came from elsewhere
-- ARGV.holds             '0' if each letter is an event; '1' if the one letter is the whole message; otherwise it is a part of it,
--                        and this is a blank and the ids of its events, with blanks between them
-- ARGV.event_type        event type; '' if unknown
-- ARGV.only_unfinished   1: leave an event alone that is neither with its message, nor waiting, nor buried, since it ended meanwhile
-- ARGV.letters…          three a letter: id, letter, head
--
-- Returns how many letters were evicted. Burying the same letter again only rewrites it.

local now = now_ms()
local most, whole, evicted = tonumber(ARGV.most), ARGV.holds ~= '0', 0
local message = open_message(KEYS.open, ARGV.message_id)

local function weigh(id, events)
  if events == 0 then
    count('accepted')  -- nobody announced it, and it is the first that we see of it
  elseif events > 1 then
    redis.call('HSET', KEYS.dead_weights, id, events)
    count('dead_bundled', events - 1)
  end
end

local function bury(id, letter, head)
  local is_new = redis.call('HSETNX', KEYS.dead_letters, id, letter) == 1
  if not is_new then
    delete_letters(KEYS.dead_letters, {id})
    redis.call('HSET', KEYS.dead_letters, id, letter)
  end
  count('dead_bytes', #letter)
  redis.call('HSET', KEYS.dead_heads, id, head)
  redis.call('ZADD', KEYS.dead_index, now, id)
  local tokens = 0
  if take_retry(KEYS.retry_due, KEYS.retry_records, id) and not end_stray(KEYS.strays, 'retry', id) then tokens = 1 end
  if ARGV.holds == '1' then
    tokens = tokens + message.take_all()
  elseif whole then
    for event_id in string.gmatch(ARGV.holds, '%S+') do
      if message.take(event_id) then tokens = tokens + 1 end
    end
  elseif message.take(id) then
    tokens = tokens + 1
  end
  if not is_new then
    count('duplicate', tokens)
  else
    count('dead')
    if whole then
      weigh(id, tokens)
    elseif tokens == 0 then
      add_stray(KEYS.strays, 'dead', id)
    else
      count('duplicate', tokens - 1)
    end
  end
end

local function has_ended(id)
  return not message.has(id) and redis.call('HEXISTS', KEYS.retry_records, id) == 0 and redis.call('HEXISTS', KEYS.dead_letters, id) == 0
end

for a = AT.letters, #ARGV, 3 do
  if ARGV.only_unfinished ~= '1' or not has_ended(ARGV[a]) then bury(ARGV[a], ARGV[a + 1], ARGV[a + 2]) end
end

local function evict(ids)
  for _, id in ipairs(ids) do
    take_letter(KEYS.dead_index, KEYS.dead_letters, KEYS.dead_heads, id)
    redis.call('SREM', KEYS.strays, 'dead:' .. id)
    count('dead_evicted', take_weight(KEYS.dead_weights, id))
    evicted = evicted + 1
  end
end

evict(redis.call('ZRANGE', KEYS.dead_index, '-inf', now - tonumber(ARGV.life_ms), 'BYSCORE', 'LIMIT', 0, 1000))
local surplus = redis.call('ZCARD', KEYS.dead_index) - most
if surplus > 0 then evict(redis.call('ZRANGE', KEYS.dead_index, 0, math.min(surplus, 1000) - 1)) end

local before = tonumber(redis.call('HGET', KEYS.counts, 'dead_bytes') or 0)
local function is_too_large() return before + (tally.dead_bytes or 0) > tonumber(ARGV.bytes_max) end
if is_too_large() then
  for _, id in ipairs(redis.call('ZRANGE', KEYS.dead_index, 0, 999)) do
    if is_too_large() and redis.call('ZCARD', KEYS.dead_index) > 1 then evict({id}) end
  end
end

message.save()
if (tally.dead or 0) > 0 then redis.call('HINCRBY', KEYS.metrics, 'dead:' .. ARGV.event_type, tally.dead) end
write_counts(KEYS.counts)
return evicted
