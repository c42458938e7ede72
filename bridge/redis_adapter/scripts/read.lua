-- Read what a client has not had yet from the streams of its addresses and the broadcasts', in one moment.
--
-- KEYS: broadcast_tip position began retentions
-- KEYS.streams…           one an address; the broadcasts' is the last. To each, its classes of retention are found here.
-- ARGV.after              position after which to read; '0-0' reads all that is retained
-- ARGV.most               entries to return from a stream at most, where there are two; of more, twice as many in all
-- ARGV.ttl_s              life of a stream in s
-- ARGV.read_at_ms         Redis time in ms of the reader's last complete reading; 0 if there was none
-- ARGV.bytes_max          bytes to return, as of the entries; the first of each stream is returned whatever its size
-- ARGV.entry_bytes_max    bytes of one entry at most; of a larger one only the position is returned
--
-- Returns: newest position ('0-0' if none), 1 if nothing after ARGV.after can be missing else 0, Redis time in ms
-- (as text), the entries of each stream that is there, and for each of these 1 if they are all that follow, as far as
-- another stream does not end the page before, else 0.

local after, ttl_s = ARGV.after, tonumber(ARGV.ttl_s)
local entry_bytes_max = tonumber(ARGV.entry_bytes_max)
local now = now_ms()
local newest = newest_position(KEYS.position, KEYS.began, now)

-- The streams of each address: the settings', and one for each class that was ever written to. `tip`: a position after
-- which nothing was written there, or to any stream of its class.
local streams, there = {}, {}

local function add(name, lives, tip, tip_is_its_own)
  local is_there = redis.call('EXISTS', name) == 1
  local stream = {name = name, lives = lives, tip = tip, tip_is_its_own = tip_is_its_own, is_there = is_there}
  streams[#streams + 1] = stream
  if is_there then there[#there + 1] = stream end
end

local settings, names, classes = {life_s = ttl_s}, {}, {}
local notes = redis.call('HGETALL', KEYS.retentions)
for i = 1, #notes, 2 do
  local class = class_of(notes[i + 1])
  if class then names[#names + 1], classes[#classes + 1] = notes[i], class end
end
local broadcast_tip = redis.call('GET', KEYS.broadcast_tip) or '0-0'
for at = AT.streams, #KEYS do
  local is_broadcast = at == #KEYS
  add(KEYS[at], settings, is_broadcast and broadcast_tip, is_broadcast)
  for i, class in ipairs(classes) do
    add(KEYS[at] .. ':' .. names[i], class, is_broadcast and class.broadcast_tip or class.tip, is_broadcast)
  end
end

-- Reading them.

local share = math.max(2, #there)
local limit, limit_bytes = math.ceil(ARGV.most * 2 / share), ARGV.bytes_max * 2 / share

local function size_of(entry)
  local bytes = 0
  for _, text in ipairs(entry[2]) do bytes = bytes + #text end
  return bytes
end

-- What is read and not returned costs its time again: so one entry, then as many as fit if they are alike, and never
-- more than a few, as large ones may follow on many small ones.
local STEP = 16
-- No entry can follow this one, which a stranger may have written.
local LAST = '18446744073709551615-18446744073709551615'

-- Returns the entries up to a position, and the last one's position if more may follow.
local function read(stream, to)
  local found, bytes, last, number = {}, 0, after, 1
  while true do
    if last == LAST then return found end
    local entries = redis.call('XRANGE', stream, '(' .. last, to, 'COUNT', number)
    for _, entry in ipairs(entries) do
      local size = size_of(entry)
      if size > entry_bytes_max then entry, size = {entry[1], {}}, 0 end
      if #found > 0 and bytes + size > limit_bytes then return found, last end
      bytes = bytes + size
      found[#found + 1] = entry
      last = entry[1]
    end
    if #entries < number then return found end
    if #found >= limit then return found, last end
    local alike = math.floor((limit_bytes - bytes) * #found / math.max(bytes, 1))
    number = math.max(1, math.min(limit - #found, STEP, alike))
  end
end

-- Until then the reader has everything, whatever streams have expired since.
local had_until_ms = math.max(split_position(after) or 0, tonumber(ARGV.read_at_ms))

-- Whether a stream of which nothing is left at a moment, in ms, may have held what the reader has not had: then it was last
-- written at least its life before.
local function may_have_expired(lives, at_ms)
  if had_until_ms <= at_ms - lives.life_s * 1000 then return true end
  return lives.shorter_s and had_until_ms <= split_position(lives.of_shorter)
    and had_until_ms <= at_ms - lives.shorter_s * 1000
end

-- Trimming takes the oldest first: a stream is whole after a position if it still reaches back to it, or if
-- nothing was ever taken from it. An older stream of that name may have expired before this one began.
local function reaches_back(stream)
  local info = redis.call('XINFO', 'STREAM', stream.name)
  local field = {}
  for i = 1, #info, 2 do field[info[i]] = info[i + 1] end
  local first = field['first-entry']
  if first and not is_after(first[1], after) then return true end
  if field['entries-added'] ~= field['length'] then return false end
  return not first or not may_have_expired(stream.lives, split_position(first[1]) or math.huge)
end

local function is_whole(stream)
  if stream.tip and not is_after(stream.tip, after) then return true end
  if stream.is_there then return reaches_back(stream) end
  return not stream.tip_is_its_own and not may_have_expired(stream.lives, now)
end

local function are_whole()
  for _, stream in ipairs(streams) do
    if not is_whole(stream) then return false end
  end
  return true
end

local complete = 1
if after ~= '0-0' and after ~= newest then
  -- A position that was never handed out, or before the order began, means that Redis has lost its memory.
  local began = redis.call('GET', KEYS.began)
  if began and not split_position(began) then redis.pcall('SET', KEYS.began, newest) end
  local forgotten = is_after(after, newest) or (began and is_after(began, after))
  if forgotten or not are_whole() then complete = 0 end
end

-- What is behind the last entry of a stream that was not read to its end is not on this page.
local entries, all, to = {}, {}, '+'
for at, stream in ipairs(there) do
  local cut
  entries[at], cut = read(stream.name, to)
  all[at], to = cut and 0 or 1, cut or to
end
return {newest, complete, digits(now), entries, all}
