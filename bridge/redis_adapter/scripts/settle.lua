-- Publish a batch of events, each exactly once, in order, at its position in its streams; and account for it.
--
-- KEYS: position broadcast_tip counts metrics open retry_due retry_records dead_index dead_letters skipped
-- KEYS: began broadcast_stream dead_heads strays retentions
-- ARGV.maxlen            length that a stream is trimmed to
-- ARGV.stream_ttl_s      life of a stream in s; 0 keeps no history
-- ARGV.seen_life_s       life of a seen mark in s
-- ARGV.skipped_max       skipped events that are remembered
-- ARGV.broadcast_channel channel of the broadcasts
-- ARGV.user_channel      channel of a user up to the user, which ends in braces: the hash tag
-- ARGV.user_stream       stream of a user, the same
-- ARGV.seen              seen mark up to the user, or the broadcast stream; behind these follow '}:' and the event id
-- ARGV.topic_channel     as of a user: channel of a topic
-- ARGV.topic_stream      its stream
-- ARGV.topic_seen        its seen marks
-- ARGV.batch             the batch, a map in MessagePack. One large argument is read faster than a thousand small ones.
--   messages   maps: `id` in the accounting ('' if its events are waiting retries or redriven letters; '-' if they were
--              handed over directly), `record_bytes` while no event was taken from its record (0: not all end),
--              `event_type`, `events` (how many), `skipped` (ids), `metrics` (pairs: name, by how much it grows if
--              anything is published); where its type is of a class of retention, `retention`: name, length and life in s
--   to, event_id, user_id, data, occurred_at
--              lists with one value an event, message by message; `to` is 0 for everybody, 1 for its user, another
--              user's id, a topic behind a brace, or a list of these; ids are text, `data` is JSON
--   user_json  where ids need it: as `user_id`, fit to stand in quotes in JSON
--
-- Returns the position of the first event if each was published at the position after the one before. Otherwise one
-- string an event: its position; '=' and the old position when it was published before; '!' and Redis' words when
-- its keys hold something else.
--
-- docs/fast-paths.md says of the branches that are there for speed alone (all_new, end_whole, end_letters) what each
-- saves, and which tests hold them to the general way.

local call, try = redis.call, redis.pcall
local batch = cmsgpack.unpack(ARGV.batch)
local messages, event_id, user_id, data, occurred_at = batch.messages, batch.event_id, batch.user_id, batch.data,
  batch.occurred_at
local user_json = batch.user_json or user_id
local keeps_history = tonumber(ARGV.stream_ttl_s) > 0
local DUPLICATE, REFUSED, BRACE = string.byte('='), string.byte('!'), string.byte('{')
-- Positions are counted in doubles, which tell no greater numbers apart, and write no greater ones in full.
local MS_MAX, SEQ_MAX = 2 ^ 53 - 1, 2 ^ 32
local now = now_ms()
local seen_until = string.format('%.0f', now + ARGV.seen_life_s * 1000)

-- Positions.

-- They are unique and ordered across ALL streams, so one cursor says what a client has had: the time, unless the clock
-- went back or what was handed out before is later.
local ms, seq, ms_text = now, 0, string.format('%.0f-', now)

-- Returns whether the next one changed.
local function move_past(position)
  local last_ms, last_seq = split_position(position)
  if last_ms < ms or (last_ms == ms and last_seq < seq) then return false end
  ms, seq = last_ms, last_seq + 1
  if seq > SEQ_MAX then ms, seq = ms + 1, 0 end
  ms_text = string.format('%.0f-', ms)
  return true
end

-- Refused here, a wrong type of key fails all before anything is published.
local last = call('GET', KEYS.position)
call('HLEN', KEYS.counts)
for _, message in ipairs(messages) do
  if message.retention then call('HLEN', KEYS.retentions) end
end
if last and split_position(last) then
  move_past(last)
else
  call('SET', KEYS.began, ms_text .. '0')
  seq = 1
end

-- Addresses.

-- Made once for each addressee: a batch has many events for few of them.
local address_of, several = {}, false

local function new_address(to)
  local address
  if type(to) == 'table' then
    address, several = {all = {}}, true
    for at, one in ipairs(to) do address.all[at] = address_of[one] or new_address(one) end
    return address
  elseif to == 0 then
    local stream = KEYS.broadcast_stream
    address = {channel = ARGV.broadcast_channel, stream = stream, seen = ARGV.seen .. stream .. '}:'}
  elseif string.byte(to) == BRACE then
    local topic = string.sub(to, 2) .. '}'
    address = {
      channel = ARGV.topic_channel .. topic,
      stream = ARGV.topic_stream .. topic,
      seen = ARGV.topic_seen .. topic .. ':'
    }
  else
    address = {
      channel = ARGV.user_channel .. to .. '}',
      stream = ARGV.user_stream .. to .. '}',
      seen = ARGV.seen .. to .. '}:'
    }
  end
  address_of[to] = address
  return address
end

local address_at, mark_at, marks, repeated = {}, {}, {}, false
for n, to in ipairs(batch.to) do
  if to == 1 then to = user_id[n] end
  local address = address_of[to] or new_address(to)
  address_at[n] = address
  if not address.all then
    local mark = address.seen .. event_id[n]
    mark_at[n] = mark
    repeated = repeated or marks[mark]
    marks[mark] = true
  end
end

-- Usually no event was seen before, and one EXISTS says so faster than a GET for each.
local all_new = not repeated and not several and #mark_at > 0 and call('EXISTS', unpack(mark_at)) == 0

-- Publishing one event.

local newest, written, in_a_row = false, {}, true

-- The position key was lost, or strangers wrote into the stream: go on behind its newest id, even if that entry is
-- gone. Returns whether a position follows there; or nothing, and Redis' error.
local function move_past_stream(stream)
  local info = try('XINFO', 'STREAM', stream)
  if info.err then return nil, info.err end
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      if tonumber(string.match(info[i + 1], '^%d+')) >= MS_MAX then return false end
      if move_past(info[i + 1]) then in_a_row = false end
    end
  end
  return true
end

local function append(n, stream, position, message)
  return try('XADD', stream, 'MAXLEN', '~', message.maxlen, position, 'event_id', event_id[n], 'event_type',
    message.event_type, 'user_id', user_id[n], 'data', data[n], 'occurred_at', occurred_at[n])
end

-- Returns the position in the stream; or nothing, and Redis' error.
local function write(n, stream, message)
  local position = ms_text .. seq
  if not keeps_history then return position end
  local reply = append(n, stream, position, message)
  if type(reply) == 'table' and string.find(reply.err, 'equal or smaller', 1, true) and move_past_stream(stream) then
    position = ms_text .. seq
    reply = append(n, stream, position, message)
  end
  if type(reply) == 'table' then return nil, reply end
  return position
end

-- What Redis says of one key alone is the answer for an event: it is another thing, or a stranger wrote a stream up to where
-- no position follows. Anything else (a missing right, a server that is full) is Redis' error, and ends the batch.
local function refusal(failure)
  for _, words in ipairs({'WRONGTYPE', 'equal or smaller', 'last possible ID'}) do
    if string.find(failure.err, words, 1, true) then return '!' .. failure.err end
  end
  return nil, failure
end

local function text_of(n, position, event_type)
  return '{"event_id":"' .. event_id[n] .. '","event_type":"' .. event_type .. '","user_id":"' .. user_json[n]
    .. '","data":' .. data[n] .. ',"occurred_at":"' .. occurred_at[n] .. '","position":"' .. position .. '"}'
end

-- An event for several addresses stands at one position in all of their streams, or in none: it is judged before anything of
-- it is written. And it is published once: who was told then was told. Returns as `publish`.
local function publish_to_several(n, addresses, message)
  local refused
  for _, address in ipairs(addresses) do
    local before = try('GET', address.seen .. event_id[n])
    if type(before) == 'table' then
      refused = before
    elseif before then
      return '=' .. before
    end
  end
  if refused then return refusal(refused) end
  local streams = {}
  for at, address in ipairs(keeps_history and addresses or {}) do
    local stream = address.stream .. (message.suffix or '')
    streams[at] = stream
    -- What this batch has written to takes more. Of the others, the next position is then behind whatever is in them.
    local follows, words = true
    if not written[stream] then follows, words = move_past_stream(stream) end
    if words and not string.find(words, 'no such key', 1, true) then return refusal({err = words}) end
    if follows == false then return '!ERR no position follows on the newest entry of ' .. stream end
  end
  local position = ms_text .. seq
  for _, stream in ipairs(streams) do
    local reply = append(n, stream, position, message)
    if type(reply) == 'table' then return nil, reply end
    written[stream] = message.life_s
  end
  local text = text_of(n, position, message.event_type)
  for _, address in ipairs(addresses) do
    call('SET', address.seen .. event_id[n], position, 'PXAT', message.seen_until)
    call('PUBLISH', address.channel, text)
    if address == address_of[0] then message.newest_broadcast = position end
  end
  message.newest, newest, seq = position, position, seq + 1
  return position
end

-- Returns the answer for an event; or nothing, and Redis' error, if Redis itself is in trouble.
local function publish(n, message)
  local address, mark = address_at[n], mark_at[n]
  if not mark then return publish_to_several(n, address.all, message) end
  if not all_new then
    local before = try('GET', mark)
    if type(before) == 'table' then return refusal(before) end
    if before then return '=' .. before end
  end
  local stream = address.stream
  if message.suffix then stream = stream .. message.suffix end
  -- The stream comes before the mark: a failure in between must not leave a mark without an event.
  local position, failure = write(n, stream, message)
  if failure then return refusal(failure) end
  call('SET', mark, position, 'PXAT', message.seen_until)
  call('PUBLISH', address.channel, text_of(n, position, message.event_type))
  if address == address_of[0] then message.newest_broadcast = position end
  message.newest, newest, seq, written[stream] = position, position, seq + 1, message.life_s
  return position
end

local answers, failure = {}, false

-- Trouble ends the batch. What was published before it must still be accounted for.
local function publish_events(message)
  message.first, message.published, message.duplicate = #answers + 1, 0, 0
  message.maxlen, message.life_s, message.seen_until = ARGV.maxlen, ARGV.stream_ttl_s, seen_until
  local class = message.retention
  if class then
    message.suffix, message.maxlen, message.life_s = ':' .. class[1], class[2], class[3]
    -- A mark outlives the stream.
    message.seen_until = string.format('%.0f', seen_until + math.max(0, class[3] - ARGV.stream_ttl_s) * 1000)
  end
  for n = message.first, message.first + message.events - 1 do
    if failure then break end
    local answer, trouble = publish(n, message)
    local kind = answer and string.byte(answer)
    answers[n], failure = answer, trouble or false
    if kind == DUPLICATE then
      message.duplicate = message.duplicate + 1
    elseif kind and kind ~= REFUSED then
      message.published = message.published + 1
    end
  end
  message.ended = message.published + message.duplicate
end

-- Of more classes than that the one that was written to longest ago is forgotten, but for when that was.
local CLASSES_MAX = 32

-- A class may change its life, and in a rolling deploy has two in turn. What was written for the shorter one may be gone
-- before the longer one has passed: readers are told both, and where the newest event is that the shorter one may hold for.
local function lives_of(class, life_s, of_any)
  if not class then return life_s, '' end
  local longer_s, shorter_s, of_shorter = class.life_s, class.shorter_s, class.of_shorter
  if shorter_s and split_position(of_shorter) + longer_s * 1000 < now then shorter_s = nil end
  if life_s < longer_s then
    shorter_s, of_shorter = math.min(shorter_s or life_s, life_s), of_any
  elseif life_s > longer_s then
    shorter_s, of_shorter, longer_s = math.min(shorter_s or longer_s, longer_s), class.tip, life_s
  end
  return longer_s, shorter_s and ' ' .. shorter_s .. ' ' .. of_shorter or ''
end

-- What readers are told of a class of retention: how long its streams live, and where its newest events are.
local function note_class(name, life_s, of_any, of_broadcasts)
  local known = call('HGET', KEYS.retentions, name)
  local class = known and class_of(known)
  local broadcast_tip = class and class.broadcast_tip
  local longer_s, shorter = lives_of(class, life_s, of_any)
  if not known and call('HLEN', KEYS.retentions) > CLASSES_MAX then
    local classes, oldest, oldest_tip = call('HGETALL', KEYS.retentions)
    for i = 1, #classes, 2 do
      local tip = string.match(classes[i + 1], '^%d+ (%d+%-%d+)')
      if not tip then call('HDEL', KEYS.retentions, classes[i]) end  -- a stranger's
      if classes[i] ~= '' and tip and not (oldest and is_after(tip, oldest_tip)) then
        oldest, oldest_tip = classes[i], tip
      end
    end
    if oldest then call('HDEL', KEYS.retentions, oldest) end
    if oldest then call('HSET', KEYS.retentions, '', '0 ' .. oldest_tip .. ' ' .. oldest_tip) end
  end
  call('HSET', KEYS.retentions, name,
    longer_s .. ' ' .. of_any .. ' ' .. (of_broadcasts or broadcast_tip or '0-0') .. shorter)
end

local function finish_streams()
  call('SET', KEYS.position, newest)
  for _, message in ipairs(messages) do
    local tip, class = message.newest_broadcast, message.retention
    if class and message.newest then
      note_class(class[1], class[3], message.newest, tip)
    elseif tip then
      call('SET', KEYS.broadcast_tip, tip)
    end
  end
  if not keeps_history then return end
  for stream, life_s in pairs(written) do
    -- What was kept for longer stays. The settings' streams are many, and have one life.
    if life_s == ARGV.stream_ttl_s then
      call('EXPIRE', stream, life_s)
    elseif call('EXPIRE', stream, life_s, 'NX') == 0 then
      call('EXPIRE', stream, life_s, 'GT')
    end
  end
end

-- Accounting for what ended.

-- Usually the whole message ends here: its record, as long as at first, need not be read.
local function end_whole(message)
  if message.ended < message.events or failure or message.record_bytes == 0 then return false end
  if call('HSTRLEN', KEYS.open, message.id) ~= message.record_bytes then return false end
  call('HDEL', KEYS.open, message.id)
  count('open', -(message.events + #message.skipped))
  count('skipped', #message.skipped)
  count('duplicate', message.duplicate)
  return true
end

-- The ids of a message's events; nothing if one is there twice, as what goes to two addresses is.
local function distinct_ids(message)
  local ids, met = {}, {}
  for n = message.first, message.first + message.events - 1 do
    local id = event_id[n]
    if met[id] then return nil end
    ids[#ids + 1], met[id] = id, true
  end
  return ids
end

-- A redrive sends letters by the hundred, and usually each is still buried, and neither waiting nor a late failure: then a
-- few calls end all of them.
local function end_letters(message)
  if message.id ~= '' or message.events == 0 or #message.skipped > 0 then return false end
  if message.ended < message.events then return false end
  local ids = distinct_ids(message)
  if not ids or call('EXISTS', KEYS.strays) == 1 then return false end
  local waiting = call('ZMSCORE', KEYS.retry_due, unpack(ids))
  local buried = call('ZMSCORE', KEYS.dead_index, unpack(ids))
  for at = 1, #ids do
    if waiting[at] or not buried[at] then return false end
  end
  call('ZREM', KEYS.dead_index, unpack(ids))
  call('HDEL', KEYS.dead_heads, unpack(ids))
  delete_letters(KEYS.dead_letters, ids)
  count('duplicate', message.duplicate)
  return true
end

-- An event that is not, or no longer, with its message is waiting, or it was dead-lettered. Returns whether the accounting had
-- it, and whether as a late failure.
local function take(record, id)
  if record.take(id) then return true, false end
  if take_retry(KEYS.retry_due, KEYS.retry_records, id) then
    return true, end_stray(KEYS.strays, 'retry', id)
  end
  if take_letter(KEYS.dead_index, KEYS.dead_letters, KEYS.dead_heads, id) then
    return true, end_stray(KEYS.strays, 'dead', id)
  end
  return false, false
end

local function end_event(record, id, kind)
  local taken, stray = take(record, id)
  local accounted = taken and not stray
  if accounted and kind == DUPLICATE then count('duplicate') end
  if not accounted and kind ~= DUPLICATE then count('unbooked') end
end

local function end_one_by_one(message)
  local record = open_message(KEYS.open, message.id)
  for n = message.first, message.first + message.events - 1 do
    if not answers[n] then break end
    local kind = string.byte(answers[n])
    if kind ~= REFUSED then end_event(record, event_id[n], kind) end
  end
  for _, id in ipairs(failure and {} or message.skipped) do
    local taken, stray = take(record, id)
    if taken and not stray then count('skipped') end
  end
  record.save()
end

-- Before anything of a message is ended: a wrong type of key must not end half of it.
local function insist_on_failed()
  insist('HLEN', KEYS.retry_records, KEYS.dead_letters, KEYS.dead_heads)
  insist('ZCARD', KEYS.retry_due, KEYS.dead_index)
  insist('SCARD', KEYS.strays)
end

local function end_events(message)
  if message.id == '-' then
    count('accepted', message.ended)
    count('duplicate', message.duplicate)
  elseif not end_whole(message) then
    insist_on_failed()
    if not end_letters(message) then end_one_by_one(message) end
  end
  count('published', message.published)
end

-- Metrics, and a memory of what was skipped.

local grown = {}

local function grow(metric, number)
  grown[metric] = (grown[metric] or 0) + number
end

local function measure(message)
  if message.published > 0 then
    grow('published:' .. message.event_type, message.published)
    for _, metric in ipairs(message.metrics) do grow(metric[1], metric[2]) end
  end
  if #message.skipped == 0 or failure then return end
  grow('skipped:' .. message.event_type, #message.skipped)
  for _, id in ipairs(message.skipped) do spare('ZADD', KEYS.skipped, now, id) end
  spare('ZREMRANGEBYRANK', KEYS.skipped, 0, -(ARGV.skipped_max + 1))
end

local all_published = true
for _, message in ipairs(messages) do publish_events(message) end
if newest then finish_streams() end
local function end_all()
  for _, message in ipairs(messages) do
    end_events(message)
    measure(message)
    all_published = all_published and message.published == message.events
  end
end

-- What was ended is counted, though the next message cannot be: it comes again, and its events are known by their marks.
local ended, trouble = pcall(end_all)
for metric, number in pairs(grown) do spare('HINCRBY', KEYS.metrics, metric, number) end
write_counts(KEYS.counts)
if not ended then error(trouble) end

if failure then return failure end
if all_published and in_a_row and newest then return answers[1] end
return answers
