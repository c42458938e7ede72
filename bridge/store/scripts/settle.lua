-- Publish a batch of events: each exactly once, in order, with its place in the stream.
--
-- KEYS[1]  position: the newest position handed out
-- KEYS[2]  position of the newest broadcast
-- KEYS[3]  counts
-- KEYS[4]  retry due
-- KEYS[5]  retry records
-- KEYS[6…] two an event: stream, seen mark
-- ARGV[1]  length that a stream is trimmed to
-- ARGV[2]  life of a stream in s; 0 keeps no history
-- ARGV[3]  life of a seen mark in s
-- ARGV[4]  name of the broadcast stream
-- ARGV[5]  1 if the events may be in the retry set, which they leave when they are published
-- ARGV[6…] six an event: channel, event id, event type, user id, payload (JSON), occurred at
--
-- Returns one string an event: its position; '=' and the old position when it was published before;
-- '!' and Redis' words when its keys hold something else.
--
-- XADD comes before SET: a failure in between must not leave a mark without an event.

local maxlen, stream_ttl_s, seen_ttl_s, broadcast_stream = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]

-- Positions are unique and ordered across ALL streams, so one cursor says what a client has had.
local time = redis.call('TIME')
local ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local seq = 0

local function move_past(position)
  local last_ms, last_seq = string.match(position, '^(%d+)-(%d+)$')
  last_ms, last_seq = tonumber(last_ms), tonumber(last_seq)
  if last_ms > ms or (last_ms == ms and last_seq >= seq) then
    ms, seq = last_ms, last_seq + 1
  end
end

local function position_text()
  return string.format('%.0f-%.0f', ms, seq)
end

local last = redis.call('GET', KEYS[1])
if last then move_past(last) end

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

local answers, published, duplicates, newest = {}, 0, 0, false
local written, finished, failure = {}, {}, false

for i = 1, (#KEYS - 5) / 2 do
  local stream, seen = KEYS[4 + 2 * i], KEYS[5 + 2 * i]
  local a = 5 + 6 * (i - 1)
  local channel, event_id, event_type = ARGV[a + 1], ARGV[a + 2], ARGV[a + 3]
  local user_id, payload, occurred_at = ARGV[a + 4], ARGV[a + 5], ARGV[a + 6]

  local before = redis.pcall('GET', seen)
  if type(before) == 'table' then
    answers[i] = '!' .. before.err
  elseif before then
    duplicates = duplicates + 1
    answers[i] = '=' .. before
    finished[#finished + 1] = event_id
  else
    local refused = false
    if stream_ttl_s > 0 then
      local reply = append(stream, event_id, event_type, user_id, payload, occurred_at)
      if type(reply) == 'table' and reply.err and string.find(reply.err, 'equal or smaller', 1, true) then
        -- The position key was lost or the stream was written by others: move past the stream's top.
        move_past(top_of(stream))
        reply = append(stream, event_id, event_type, user_id, payload, occurred_at)
      end
      if type(reply) == 'table' and reply.err then
        if not string.find(reply.err, 'WRONGTYPE', 1, true) then
          -- Redis itself is in trouble. What was published so far must still be in the books.
          failure = reply
          break
        end
        refused = reply.err
      end
    end
    if refused then
      answers[i] = '!' .. refused
    else
      local position = position_text()
      seq = seq + 1
      redis.call('SET', seen, position, 'EX', seen_ttl_s)
      written[stream] = position
      redis.call('PUBLISH', channel, '{"event_id":"' .. event_id .. '","event_type":"' .. event_type
        .. '","user_id":"' .. user_id .. '","data":' .. payload .. ',"occurred_at":"' .. occurred_at
        .. '","position":"' .. position .. '"}')
      published = published + 1
      newest = position
      answers[i] = position
      finished[#finished + 1] = event_id
    end
  end
end

if newest then
  redis.call('SET', KEYS[1], newest)
  redis.call('HINCRBY', KEYS[3], 'published', published)
  if written[broadcast_stream] then redis.call('SET', KEYS[2], written[broadcast_stream]) end
  if stream_ttl_s > 0 then
    for stream in pairs(written) do redis.call('EXPIRE', stream, stream_ttl_s) end
  end
end
if duplicates > 0 then redis.call('HINCRBY', KEYS[3], 'duplicate', duplicates) end

if ARGV[5] == '1' then
  -- In the same step: an event is published, or it is still in the retry set, and never both.
  for _, event_id in ipairs(finished) do
    redis.call('ZREM', KEYS[4], event_id)
    redis.call('HDEL', KEYS[5], event_id)
  end
end

return failure or answers
