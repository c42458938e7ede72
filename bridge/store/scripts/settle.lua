-- Publish a batch of events: each exactly once, in order, with its place in the stream; and enter it into the books.
--
-- KEYS[1]  position: the newest position handed out
-- KEYS[2]  position of the newest broadcast
-- KEYS[3]  counts
-- KEYS[4]  metrics
-- KEYS[5]  open messages
-- KEYS[6]  retry due
-- KEYS[7]  retry records
-- KEYS[8]  dead index
-- KEYS[9]  dead letters
-- KEYS[10] newest skipped events
-- KEYS[11] position where the order began
-- KEYS[12…] two an event: stream, seen mark
-- ARGV[1]  length that a stream is trimmed to
-- ARGV[2]  life of a stream in s; 0 keeps no history
-- ARGV[3]  life of a seen mark in s
-- ARGV[4]  name of the broadcast stream
-- ARGV[5]  skipped events that are remembered
-- ARGV[6]  messages in this batch
-- ARGV[7…] a message: its id in the books ('' if its events are waiting retries or replayed letters; '-' if they
--          were handed over directly), bytes of its record while no event was taken from it (0: not all end),
--          event type, number of events, number of skipped events, number of metrics, ids of the skipped ones,
--          two a metric: name, by how much it grows if anything is published
-- then     five an event, message by message: channel, event id, user id, payload (JSON), occurred at
--
-- Returns one string an event: its position; '=' and the old position when it was published before;
-- '!' and Redis' words when its keys hold something else.
--
-- XADD comes before SET: a failure in between must not leave a mark without an event.

local maxlen, stream_ttl_s, seen_ttl_s, broadcast_stream = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]

-- Positions are unique and ordered across ALL streams, so one cursor says what a client has had.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local ms, seq = now, 0
local ms_text = string.format('%.0f-', ms)

local function move_past(position)
  local last_ms, last_seq = string.match(position, '^(%d+)-(%d+)$')
  last_ms, last_seq = tonumber(last_ms), tonumber(last_seq)
  if last_ms > ms or (last_ms == ms and last_seq >= seq) then
    ms, seq = last_ms, last_seq + 1
    ms_text = string.format('%.0f-', ms)
  end
end

local function position_text()
  return ms_text .. seq
end

local last = redis.call('GET', KEYS[1])
if last then
  move_past(last)
else
  redis.call('SET', KEYS[11], ms_text .. '0')
  seq = 1
end

local function append(stream, event_id, event_type, user_id, payload, occurred_at)
  return redis.pcall('XADD', stream, 'MAXLEN', '~', maxlen, position_text(),
    'event_id', event_id, 'event_type', event_type, 'user_id', user_id, 'data', payload, 'occurred_at', occurred_at)
end

-- The newest id that a stream ever had, even if its entry is gone.
local function top_of(stream)
  local info = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return info[i + 1] end
  end
end

local newest, written = false, {}

-- Returns the answer for one event, and how it ended: 'published', 'duplicate', nothing if it was refused.
-- Raises what Redis says if Redis itself is in trouble.
local function publish(stream, seen, channel, event_id, event_type, user_id, payload, occurred_at)
  local before = redis.pcall('GET', seen)
  if type(before) == 'table' then return '!' .. before.err end
  if before then return '=' .. before, 'duplicate' end
  if stream_ttl_s > 0 then
    local reply = append(stream, event_id, event_type, user_id, payload, occurred_at)
    if type(reply) == 'table' and reply.err and string.find(reply.err, 'equal or smaller', 1, true) then
      -- The position key was lost or the stream was written by others: move past the stream's top.
      move_past(top_of(stream))
      reply = append(stream, event_id, event_type, user_id, payload, occurred_at)
    end
    if type(reply) == 'table' and reply.err then
      if not string.find(reply.err, 'WRONGTYPE', 1, true) then return nil, nil, reply end
      return '!' .. reply.err
    end
  end
  local position = position_text()
  seq = seq + 1
  redis.call('SET', seen, position, 'EX', seen_ttl_s)
  written[stream] = position
  newest = position
  redis.call('PUBLISH', channel, '{"event_id":"' .. event_id .. '","event_type":"' .. event_type
    .. '","user_id":"' .. user_id .. '","data":' .. payload .. ',"occurred_at":"' .. occurred_at
    .. '","position":"' .. position .. '"}')
  return position, 'published'
end

-- Read the messages of the batch.
local messages, a, total = {}, 7, 0
for m = 1, tonumber(ARGV[6]) do
  local message = {
    id = ARGV[a], fresh_bytes = tonumber(ARGV[a + 1]), event_type = ARGV[a + 2],
    events = tonumber(ARGV[a + 3]), skipped = tonumber(ARGV[a + 4]), metrics = tonumber(ARGV[a + 5]),
    skipped_at = a + 6, published = 0, ended = {},
  }
  messages[m] = message
  message.metrics_at = message.skipped_at + message.skipped
  a = message.metrics_at + 2 * message.metrics
  total = total + message.events
end

-- Publish.
local answers, failure, k = {}, false, 12
for _, message in ipairs(messages) do
  for _ = 1, message.events do
    local event_id = ARGV[a + 1]
    local answer, ending, trouble = publish(
      KEYS[k], KEYS[k + 1], ARGV[a], event_id, message.event_type, ARGV[a + 2], ARGV[a + 3], ARGV[a + 4])
    if trouble then
      -- What was published so far must still be in the books.
      failure = trouble
      break
    end
    answers[#answers + 1] = answer
    if ending then
      message.ended[#message.ended + 1] = {event_id, ending}
      if ending == 'published' then message.published = message.published + 1 end
    end
    a, k = a + 5, k + 2
  end
  if failure then break end
end

if newest then
  redis.call('SET', KEYS[1], newest)
  if written[broadcast_stream] then redis.call('SET', KEYS[2], written[broadcast_stream]) end
  if stream_ttl_s > 0 then
    for stream in pairs(written) do redis.call('EXPIRE', stream, stream_ttl_s) end
  end
end

-- The books.

local function take_letter(event_id)
  redis.call('ZREM', KEYS[8], event_id)
  return redis.call('HDEL', KEYS[9], event_id) == 1
end

-- The token of an event that is not, or no longer, with its message: it is waiting, or it was buried.
local function take_elsewhere(event_id)
  return take_retry(KEYS[6], KEYS[7], event_id) or take_letter(event_id)
end

-- Usually the whole message ends here, and its record need not be read.
local function end_whole(message)
  if #message.ended < message.events or failure or message.fresh_bytes == 0 then return false end
  if redis.call('HSTRLEN', KEYS[5], message.id) ~= message.fresh_bytes then return false end
  redis.call('HDEL', KEYS[5], message.id)
  count('open', -(message.events + message.skipped))
  count('skipped', message.skipped)
  count('duplicate', message.events - message.published)
  return true
end

local function end_one_by_one(message)
  local open = open_message(KEYS[5], message.id)
  for _, event in ipairs(message.ended) do
    if open.take(event[1]) or take_elsewhere(event[1]) then
      if event[2] == 'duplicate' then count('duplicate') end
    elseif event[2] == 'published' then
      count('unbooked')
    end
  end
  for i = message.skipped_at, message.skipped_at + message.skipped - 1 do
    if not failure and (open.take(ARGV[i]) or take_elsewhere(ARGV[i])) then count('skipped') end
  end
  open.save()
end

local any_skipped = false
for _, message in ipairs(messages) do
  count('published', message.published)
  if message.published > 0 then
    redis.call('HINCRBY', KEYS[4], 'published:' .. message.event_type, message.published)
    for at = message.metrics_at, message.metrics_at + 2 * message.metrics - 2, 2 do
      redis.call('HINCRBY', KEYS[4], ARGV[at], ARGV[at + 1])
    end
  end
  if message.id == '-' then
    count('accepted', #message.ended)
    count('duplicate', #message.ended - message.published)
  elseif not end_whole(message) then
    end_one_by_one(message)
  end
  if message.skipped > 0 and not failure then
    any_skipped = true
    redis.call('HINCRBY', KEYS[4], 'skipped:' .. message.event_type, message.skipped)
    for i = message.skipped_at, message.skipped_at + message.skipped - 1 do
      redis.call('ZADD', KEYS[10], now, ARGV[i])
    end
  end
end
if any_skipped then redis.call('ZREMRANGEBYRANK', KEYS[10], 0, -(tonumber(ARGV[5]) + 1)) end
write_counts(KEYS[3])

return failure or answers
