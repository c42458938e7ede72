-- Read what a client has not had yet from the streams of its addresses and the broadcasts', in one moment.
--
-- KEYS: broadcast_tip position began retentions
-- KEYS.streams…           one an address; the broadcasts' is the last. To each, its classes of retention are found here.
-- ARGV.after              position after which to read; '0-0' reads all that is retained
-- ARGV.most               entries to return from a stream at most, where there are two; of more, twice as many in all
-- ARGV.ttl_s              life of a stream in s
-- ARGV.read_at_ms         Redis time in ms of the reader's last complete reading; 0 if there was none
-- ARGV.bytes_max          bytes to return, as of the entries; and of the first of each stream twice as many in all, or one
-- ARGV.entry_bytes_max    bytes of one entry at most; of a larger one only the position is returned
--
-- Returns: newest position ('0-0' if none), 1 if nothing after ARGV.after can be missing else 0, Redis time in ms
-- (as text), the entries of each stream in which some follow, and for each of these 1 if they are all that follow, as far as
-- another stream does not end the page before, else 0.

local after, ttl_s = ARGV.after, tonumber(ARGV.ttl_s)
local entry_bytes_max = tonumber(ARGV.entry_bytes_max)
local now = now_ms()
local newest = newest_position(KEYS.position, KEYS.began, now)

-- The streams of each address: the settings', and one for each class that was ever written to. `tip`: a position after
-- which nothing was written there, or to any stream of its class.
local streams, there, settings = {}, {}, {life_s = ttl_s}

local function add(name, lives, tip, tip_is_its_own)
  -- Where nothing of a class follows, it is not looked for: an address may have many classes, and a client many addresses.
  local may_follow = lives == settings or is_after(tip, after)
  local is_there = may_follow and redis.call('EXISTS', name) == 1
  local stream = {name = name, lives = lives, tip = tip, tip_is_its_own = tip_is_its_own, is_there = is_there}
  streams[#streams + 1] = stream
  if is_there then there[#there + 1] = stream end
end

local names, classes = {}, {}
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

-- As text, since a stranger's are too large for numbers.
local function sortable(position)
  local ms, seq = string.match(position, '^(%d+)-(%d+)$')
  return string.rep('0', 20 - #ms) .. ms .. string.rep('0', 20 - #seq) .. seq
end

-- The streams in which something follows, each with the first of it: in the order of these, as many as a page takes; of
-- one position all, as it is one event's. What is behind them is not on this page, which then ends with the last of them.
local function begin()
  local begun, some, bytes, to = {}, {}, 0, '+'
  for _, stream in ipairs(after ~= LAST and there or {}) do
    local first = redis.call('XRANGE', stream.name, '(' .. after, '+', 'COUNT', 1)[1]
    if first then
      stream.bytes, stream.place = size_of(first), sortable(first[1])
      if stream.bytes > entry_bytes_max then first, stream.bytes = {first[1], {}}, 0 end
      stream.first, begun[#begun + 1] = first, stream
    end
  end
  table.sort(begun, function(one, other) return one.place < other.place end)
  for _, stream in ipairs(begun) do
    local before = some[#some]
    bytes = bytes + stream.bytes
    if before and before.place ~= stream.place and bytes > 2 * ARGV.bytes_max then
      before.ends_page, to = true, before.first[1]
      break
    end
    some[#some + 1] = stream
  end
  return some, to
end

local some, to = begin()
local share = math.max(2, #some)
local limit, limit_bytes = math.ceil(ARGV.most * 2 / share), ARGV.bytes_max * 2 / share

-- Returns the entries up to a position, and the last one's position if more may follow.
local function read(stream)
  if to ~= '+' and stream.place > sortable(to) then return {} end
  local found, bytes, last = {stream.first}, stream.bytes, stream.first[1]
  while last ~= LAST do
    if #found >= limit then return found, last end
    local alike = math.floor((limit_bytes - bytes) * #found / math.max(bytes, 1))
    local number = math.max(1, math.min(limit - #found, STEP, alike))
    local entries = redis.call('XRANGE', stream.name, '(' .. last, to, 'COUNT', number)
    for _, entry in ipairs(entries) do
      local size = size_of(entry)
      if size > entry_bytes_max then entry, size = {entry[1], {}}, 0 end
      if bytes + size > limit_bytes then return found, last end
      bytes = bytes + size
      found[#found + 1] = entry
      last = entry[1]
    end
    if #entries < number then break end
  end
  return found
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
local entries, all = {}, {}
for at, stream in ipairs(some) do
  local cut
  entries[at], cut = read(stream)
  all[at], to = (cut or stream.ends_page) and 0 or 1, cut or to
end
return {newest, complete, digits(now), entries, all}
