-- Publish a batch of events: each exactly once, in order, with its place in the stream; and enter it into the books.
--
-- KEYS.position            position: the newest position handed out
-- KEYS.broadcast_tip       position of the newest broadcast
-- KEYS.counts              counts
-- KEYS.metrics             metrics
-- KEYS.open                open messages
-- KEYS.retry_due           retry due
-- KEYS.retry_records       retry records
-- KEYS.dead_index          dead index
-- KEYS.dead_letters        dead letters
-- KEYS.skipped             newest skipped events
-- KEYS.began               position where the order began
-- KEYS.broadcast_stream    broadcast stream
-- KEYS.dead_heads          heads of the dead letters
-- KEYS.strays              strays
-- ARGV.maxlen              length that a stream is trimmed to
-- ARGV.stream_ttl_s        life of a stream in s; 0 keeps no history
-- ARGV.seen_life_s         life of a seen mark in s
-- ARGV.skipped_max         skipped events that are remembered
-- ARGV.broadcast_channel   channel of the broadcasts
-- ARGV.user_channel        channel of a user, with %s for the user
-- ARGV.user_stream         stream of a user, with %s for the user
-- ARGV.seen                seen mark without its event id, with %s for the user, or for the broadcast stream
-- ARGV.batch               the batch in MessagePack: messages, and all their events.
--                          A message: `id` in the books ('' if its events are waiting retries or replayed letters; '-' if they were
--                          handed over directly), `record_bytes` while no event was taken from its record (0: not all end),
--                          `event_type`, `events` (how many), `skipped` (ids), `metrics` (pairs: name, by how much it grows if
--                          anything is published).
--                          The events are five values each, message by message: to whom (0 everybody, 1 its user, or another user's
--                          id), event id, user id, payload (JSON), occurred at.
--
-- Returns the position of the first event if each was published at the position after the one before. Otherwise one
-- string an event: its position; '=' and the old position when it was published before; '!' and Redis' words when
-- its keys hold something else.
--
-- XADD comes before SET: a failure in between must not leave a mark without an event.
-- One large argument is read faster than a thousand small ones, and one EXISTS is faster than a GET for each event.

local call, try = redis.call, redis.pcall
-- Positions are counted in doubles, which tell no greater numbers apart, and write no greater ones in full.
local MS_MAX, SEQ_MAX = 2 ^ 53 - 1, 2 ^ 32
local maxlen, stream_ttl_s, broadcast_stream = ARGV.maxlen, tonumber(ARGV.stream_ttl_s), KEYS.broadcast_stream
local messages, events = unpack(cmsgpack.unpack(ARGV.batch))
local DUPLICATE, REFUSED = string.byte('='), string.byte('!')

-- Positions are unique and ordered across ALL streams, so one cursor says what a client has had.
local now = now_ms()
local seen_until = string.format('%.0f', now + tonumber(ARGV.seen_life_s) * 1000)
local ms, seq = now, 0
local ms_text = string.format('%.0f-', ms)

local function move_past(position)
  local last_ms, last_seq = split_position(position)
  if last_ms > ms or (last_ms == ms and last_seq >= seq) then
    ms, seq = last_ms, last_seq + 1
    if seq > SEQ_MAX then ms, seq = ms + 1, 0 end
    ms_text = string.format('%.0f-', ms)
  end
end

local last = call('GET', KEYS.position)
if last then
  move_past(last)
else
  call('SET', KEYS.began, ms_text .. '0')
  seq = 1
end

-- Where the events of one addressee go; made once for each.
local channel_before, channel_after = string.match(ARGV.user_channel, '^(.*)%%s(.*)$')
local stream_before, stream_after = string.match(ARGV.user_stream, '^(.*)%%s(.*)$')
local seen_before, seen_after = string.match(ARGV.seen, '^(.*)%%s(.*)$')
local addresses = {
  [0] = {channel = ARGV.broadcast_channel, stream = broadcast_stream, seen = seen_before .. broadcast_stream .. seen_after}
}
setmetatable(addresses, {__index = function(known, user)
  local address = {
    channel = channel_before .. user .. channel_after,
    stream = stream_before .. user .. stream_after,
    seen = seen_before .. user .. seen_after
  }
  known[user] = address
  return address
end})

local address_of, mark_of, known, repeated = {}, {}, {}, false
for at = 1, #events, 5 do
  local to = events[at]
  local address = addresses[to == 1 and events[at + 2] or to]
  local mark = address.seen .. events[at + 1]
  address_of[#address_of + 1] = address
  mark_of[#mark_of + 1] = mark
  repeated = repeated or known[mark]
  known[mark] = true
end
-- What Redis says of one stream alone: another thing, or written by a stranger up to where no position follows.
local function is_of_stream(words)
  return string.find(words, 'WRONGTYPE', 1, true) or string.find(words, 'equal or smaller', 1, true)
    or string.find(words, 'last possible ID', 1, true)
end

-- Usually none was seen before.
local all_new = not repeated and #mark_of > 0 and call('EXISTS', unpack(mark_of)) == 0

-- The newest id that a stream ever had, even if its entry is gone.
local function top_of(stream)
  local info = call('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return info[i + 1] end
  end
end

local newest, written, crowded, in_a_row = false, {}, {}, true

-- The first event of a batch trims its stream; a stream that gets more of them is trimmed again afterwards.
local function append(stream, position, at, event_type)
  if written[stream] then
    crowded[stream] = true
    return try('XADD', stream, position, 'event_id', events[at + 1], 'event_type', event_type,
      'user_id', events[at + 2], 'data', events[at + 3], 'occurred_at', events[at + 4])
  end
  return try('XADD', stream, 'MAXLEN', '~', maxlen, position, 'event_id', events[at + 1], 'event_type', event_type,
    'user_id', events[at + 2], 'data', events[at + 3], 'occurred_at', events[at + 4])
end

-- Returns the answer for the event at this place. Returns nothing, and what Redis says, if Redis itself is in trouble.
local function publish(number, at, event_type)
  local mark, address = mark_of[number], address_of[number]
  if not all_new then
    local before = try('GET', mark)
    if type(before) == 'table' then return '!' .. before.err end
    if before then return '=' .. before end
  end
  local stream, position = address.stream, ms_text .. seq
  if stream_ttl_s > 0 then
    local reply = append(stream, position, at, event_type)
    if type(reply) == 'table' and string.find(reply.err, 'equal or smaller', 1, true) then
      -- The position key was lost or the stream was written by others: move past the stream's top.
      local top = top_of(stream)
      if tonumber(string.match(top, '^%d+')) < MS_MAX then
        move_past(top)
        in_a_row = false
        position = ms_text .. seq
        reply = append(stream, position, at, event_type)
      end
    end
    if type(reply) == 'table' then
      if not is_of_stream(reply.err) then return nil, reply end
      return '!' .. reply.err
    end
  end
  seq = seq + 1
  call('SET', mark, position, 'PXAT', seen_until)
  written[stream] = position
  newest = position
  call('PUBLISH', address.channel, '{"event_id":"' .. events[at + 1] .. '","event_type":"' .. event_type
    .. '","user_id":"' .. events[at + 2] .. '","data":' .. events[at + 3] .. ',"occurred_at":"' .. events[at + 4]
    .. '","position":"' .. position .. '"}')
  return position
end

-- Publish.
local answers, failure = {}, false
for _, message in ipairs(messages) do
  message.first, message.published, message.duplicate = #answers + 1, 0, 0
  for number = message.first, message.first + message.events - 1 do
    if failure then break end
    local answer, trouble = publish(number, 5 * number - 4, message.event_type)
    -- What was published before the trouble must still be in the books.
    failure = trouble or false
    if answer then
      answers[number] = answer
      local kind = string.byte(answer)
      if kind == DUPLICATE then
        message.duplicate = message.duplicate + 1
      elseif kind ~= REFUSED then
        message.published = message.published + 1
      end
    end
  end
  message.ended = message.published + message.duplicate
end

if newest then
  call('SET', KEYS.position, newest)
  if written[broadcast_stream] then call('SET', KEYS.broadcast_tip, written[broadcast_stream]) end
  if stream_ttl_s > 0 then
    for stream in pairs(crowded) do call('XTRIM', stream, 'MAXLEN', '~', maxlen) end
    for stream in pairs(written) do call('EXPIRE', stream, stream_ttl_s) end
  end
end

-- The books.

-- The token of an event that is not, or no longer, with its message: it is waiting, or it was buried.
-- Returns whether there is one, and whether it was a stray.
local function take_elsewhere(event_id)
  if take_retry(KEYS.retry_due, KEYS.retry_records, event_id) then return true, end_stray(KEYS.strays, 'retry', event_id) end
  if take_letter(KEYS.dead_index, KEYS.dead_letters, KEYS.dead_heads, event_id) then
    return true, end_stray(KEYS.strays, 'dead', event_id)
  end
  return false, false
end

local function take(open, event_id)
  if open.take(event_id) then return true, false end
  return take_elsewhere(event_id)
end

-- Usually the whole message ends here, and its record need not be read.
local function end_whole(message)
  if message.ended < message.events or failure or message.record_bytes == 0 then return false end
  if call('HSTRLEN', KEYS.open, message.id) ~= message.record_bytes then return false end
  call('HDEL', KEYS.open, message.id)
  count('open', -(message.events + #message.skipped))
  count('skipped', #message.skipped)
  count('duplicate', message.duplicate)
  return true
end

-- A replay sends letters by the hundred, and usually each is still there and nowhere else: a few calls for all of them.
local function end_letters(message)
  if message.id ~= '' or message.ended < message.events or #message.skipped > 0 then return false end
  local ids, met = {}, {}
  for number = message.first, message.first + message.events - 1 do
    local id = events[5 * number - 3]
    if met[id] then return false end
    ids[#ids + 1], met[id] = id, true
  end
  if #ids == 0 or call('EXISTS', KEYS.strays) == 1 then return false end
  local waiting, buried = call('ZMSCORE', KEYS.retry_due, unpack(ids)), call('ZMSCORE', KEYS.dead_index, unpack(ids))
  for at = 1, #ids do
    if waiting[at] or not buried[at] then return false end
  end
  call('ZREM', KEYS.dead_index, unpack(ids))
  call('HDEL', KEYS.dead_heads, unpack(ids))
  delete_letters(KEYS.dead_letters, ids)
  count('duplicate', message.duplicate)
  return true
end

local function end_one_by_one(message)
  local open = open_message(KEYS.open, message.id)
  for number = message.first, message.first + message.events - 1 do
    local answer = answers[number]
    if not answer then break end
    local kind, event_id = string.byte(answer), events[5 * number - 3]
    if kind ~= REFUSED then
      local taken, stray = take(open, event_id)
      local booked = taken and not stray
      if booked and kind == DUPLICATE then count('duplicate') end
      if not booked and kind ~= DUPLICATE then count('unbooked') end
    end
  end
  for _, event_id in ipairs(message.skipped) do
    if not failure then
      local taken, stray = take(open, event_id)
      if taken and not stray then count('skipped') end
    end
  end
  open.save()
end

local any_skipped, all_published, grown = false, true, {}

local function grow(metric, number)
  grown[metric] = (grown[metric] or 0) + number
end

for _, message in ipairs(messages) do
  count('published', message.published)
  all_published = all_published and message.published == message.events
  if message.published > 0 then
    grow('published:' .. message.event_type, message.published)
    for _, metric in ipairs(message.metrics) do grow(metric[1], metric[2]) end
  end
  if message.id == '-' then
    count('accepted', message.ended)
    count('duplicate', message.duplicate)
  elseif not (end_whole(message) or end_letters(message)) then
    end_one_by_one(message)
  end
  if #message.skipped > 0 and not failure then
    any_skipped = true
    grow('skipped:' .. message.event_type, #message.skipped)
    for _, event_id in ipairs(message.skipped) do call('ZADD', KEYS.skipped, now, event_id) end
  end
end
if any_skipped then call('ZREMRANGEBYRANK', KEYS.skipped, 0, -(tonumber(ARGV.skipped_max) + 1)) end
for metric, number in pairs(grown) do call('HINCRBY', KEYS.metrics, metric, number) end
write_counts(KEYS.counts)

if failure then return failure end
if all_published and in_a_row and newest then return answers[1] end
return answers
