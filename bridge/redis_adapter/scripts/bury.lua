-- Keep dead letters, and end the retries of their events.
--
-- KEYS[1]  index: sorted set, letter id → when it was buried, in ms
-- KEYS[2]  letters: hash, letter id → letter
-- KEYS[3]  counts
-- KEYS[4]  retry due
-- KEYS[5]  retry records
-- KEYS[6]  open messages
-- KEYS[7]  weights: hash, letter that holds a whole message → how many events
-- KEYS[8]  metrics
-- KEYS[9]  heads: hash, letter id → what a search looks at
-- KEYS[10] strays
-- ARGV[1]  letters to keep at the most
-- ARGV[2]  ms to keep a letter
-- ARGV[3]  id in the books of the message that brought them; '' if they came from elsewhere
-- ARGV[4]  '0' if each letter is an event; '1' if the one letter is the whole message; otherwise it is a part of it,
--          and this is a blank and the ids of its events, with blanks between them
-- ARGV[5]  event type; '' if unknown
-- ARGV[6]  1: leave an event alone that is neither with its message, nor waiting, nor buried, since it ended meanwhile
-- ARGV[7]  bytes of letters to keep at the most; the newest stays, however large
-- ARGV[8…] three a letter: id, letter, head
--
-- Returns how many letters were evicted. Burying the same letter again only rewrites it.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local most, whole, evicted = tonumber(ARGV[1]), ARGV[4] ~= '0', 0
local message = open_message(KEYS[6], ARGV[3])

local function weigh(id, events)
  if events == 0 then
    count('accepted')  -- nobody announced it, and it is the first that we see of it
  elseif events > 1 then
    redis.call('HSET', KEYS[7], id, events)
    count('dead_bundled', events - 1)
  end
end

local function bury(id, letter, head)
  local is_new = redis.call('HSETNX', KEYS[2], id, letter) == 1
  if not is_new then
    delete_letters(KEYS[2], {id})
    redis.call('HSET', KEYS[2], id, letter)
  end
  count('dead_bytes', #letter)
  redis.call('HSET', KEYS[9], id, head)
  redis.call('ZADD', KEYS[1], now, id)
  local tokens = 0
  if take_retry(KEYS[4], KEYS[5], id) and not end_stray(KEYS[10], 'retry', id) then tokens = 1 end
  if ARGV[4] == '1' then
    tokens = tokens + message.take_all()
  elseif whole then
    for event_id in string.gmatch(ARGV[4], '%S+') do
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
      add_stray(KEYS[10], 'dead', id)
    else
      count('duplicate', tokens - 1)
    end
  end
end

local function has_ended(id)
  return not message.has(id) and redis.call('HEXISTS', KEYS[5], id) == 0 and redis.call('HEXISTS', KEYS[2], id) == 0
end

for a = 8, #ARGV, 3 do
  if ARGV[6] ~= '1' or not has_ended(ARGV[a]) then bury(ARGV[a], ARGV[a + 1], ARGV[a + 2]) end
end

local function evict(ids)
  for _, id in ipairs(ids) do
    local weight = tonumber(redis.call('HGET', KEYS[7], id) or 1)
    redis.call('ZREM', KEYS[1], id)
    delete_letters(KEYS[2], {id})
    redis.call('HDEL', KEYS[9], id)
    redis.call('SREM', KEYS[10], 'dead:' .. id)
    if weight > 1 then
      redis.call('HDEL', KEYS[7], id)
      count('dead_bundled', 1 - weight)
    end
    count('dead_evicted', weight)
    evicted = evicted + 1
  end
end

evict(redis.call('ZRANGE', KEYS[1], '-inf', now - tonumber(ARGV[2]), 'BYSCORE', 'LIMIT', 0, 1000))
local surplus = redis.call('ZCARD', KEYS[1]) - most
if surplus > 0 then evict(redis.call('ZRANGE', KEYS[1], 0, math.min(surplus, 1000) - 1)) end

local before = tonumber(redis.call('HGET', KEYS[3], 'dead_bytes') or 0)
local function is_too_large() return before + (tally.dead_bytes or 0) > tonumber(ARGV[7]) end
if is_too_large() then
  for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, 999)) do
    if is_too_large() and redis.call('ZCARD', KEYS[1]) > 1 then evict({id}) end
  end
end

-- Workers of older releases leave the heads of letters whose events they publish after all; nobody sees them any more.
if redis.call('HLEN', KEYS[9]) > redis.call('HLEN', KEYS[2]) then
  for _, id in ipairs(redis.call('HRANDFIELD', KEYS[9], 100)) do
    if redis.call('HEXISTS', KEYS[2], id) == 0 then redis.call('HDEL', KEYS[9], id) end
  end
end

-- Workers of older releases leave strays behind that have ended.
for _, place_and_id in ipairs(redis.call('SRANDMEMBER', KEYS[10], 10)) do
  local place, id = string.match(place_and_id, '^(%a+):(.*)$')
  if redis.call('HEXISTS', place == 'retry' and KEYS[5] or KEYS[2], id) == 0 then
    redis.call('SREM', KEYS[10], place_and_id)
  end
end

message.save()
if (tally.dead or 0) > 0 then redis.call('HINCRBY', KEYS[8], 'dead:' .. ARGV[5], tally.dead) end
write_counts(KEYS[3])
return evicted
