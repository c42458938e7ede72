-- Read what a client has not had yet from its own stream and the broadcast stream, in one moment.
--
-- KEYS.stream             the user's stream
-- KEYS: broadcast_stream position broadcast_tip began
-- ARGV.after              position after which to read; '0-0' reads all that is retained
-- ARGV.most               entries to return from each stream at most
-- ARGV.ttl_s              life of a stream in s
-- ARGV.read_at_ms         Redis time in ms of the reader's last complete reading; 0 if there was none
-- ARGV.bytes_max          bytes to return from each stream at most; the first entry is returned whatever its size
-- ARGV.entry_bytes_max    bytes of one entry at most; of a larger one only the position is returned
--
-- Returns: newest position ('0-0' if none), 1 if nothing after ARGV.after can be missing else 0, Redis time in ms
-- (as text), the user's entries, the broadcast entries, 1 if the user's are all that follow else 0, the same of the
-- broadcasts.

local after, limit, ttl_s = ARGV.after, tonumber(ARGV.most), tonumber(ARGV.ttl_s)
local limit_bytes, entry_bytes_max = tonumber(ARGV.bytes_max), tonumber(ARGV.entry_bytes_max)
local now = now_ms()
local newest = newest_position(KEYS.position, KEYS.began, now)

local function size_of(entry)
  local bytes = 0
  for _, text in ipairs(entry[2]) do bytes = bytes + #text end
  return bytes
end

-- What is read and not returned costs its time again: so one entry, then as many as fit if they are alike, and never
-- more than a few, as large ones may follow on many small ones.
local STEP = 16

local function read(stream)
  local found, bytes, last, number = {}, 0, after, 1
  while true do
    local entries = redis.call('XRANGE', stream, '(' .. last, '+', 'COUNT', number)
    for _, entry in ipairs(entries) do
      local size = size_of(entry)
      if size > entry_bytes_max then entry, size = {entry[1], {}}, 0 end
      if #found > 0 and bytes + size > limit_bytes then return found, 0 end
      bytes = bytes + size
      found[#found + 1] = entry
      last = entry[1]
    end
    if #entries < number then return found, 1 end
    if #found >= limit then return found, 0 end
    local alike = math.floor((limit_bytes - bytes) * #found / math.max(bytes, 1))
    number = math.max(1, math.min(limit - #found, STEP, alike))
  end
end

-- Until then the reader has everything, whatever streams have expired since.
local had_until_ms = math.max(split_position(after), tonumber(ARGV.read_at_ms))

-- Trimming takes the oldest first: a stream is whole after a position if it still reaches back to it, or if
-- nothing was ever taken from it. An older stream of that name may have expired before this one began; then
-- it was last written at least a stream's life earlier.
local function reaches_back(stream)
  local info = redis.call('XINFO', 'STREAM', stream)
  local field = {}
  for i = 1, #info, 2 do field[info[i]] = info[i + 1] end
  local first = field['first-entry']
  if first and not is_after(first[1], after) then return true end
  if field['entries-added'] ~= field['length'] then return false end
  return not first or split_position(first[1]) - ttl_s * 1000 < had_until_ms
end

local function user_stream_is_whole()
  if redis.call('EXISTS', KEYS.stream) == 1 then return reaches_back(KEYS.stream) end
  -- It would still be there if it had been written after a moment younger than its life.
  return had_until_ms > now - ttl_s * 1000
end

local function broadcast_stream_is_whole()
  local tip = redis.call('GET', KEYS.broadcast_tip)
  if not tip or not is_after(tip, after) then return true end
  return redis.call('EXISTS', KEYS.broadcast_stream) == 1 and reaches_back(KEYS.broadcast_stream)
end

local complete = 1
if after ~= '0-0' and after ~= newest then
  -- A position that was never handed out, or before the order began, means that Redis has lost its memory.
  local began = redis.call('GET', KEYS.began)
  local forgotten = is_after(after, newest) or (began and is_after(began, after))
  if forgotten or not user_stream_is_whole() or not broadcast_stream_is_whole() then
    complete = 0
  end
end

local own, own_is_all = read(KEYS.stream)
local broadcasts, broadcasts_are_all = read(KEYS.broadcast_stream)
return {newest, complete, digits(now), own, broadcasts, own_is_all, broadcasts_are_all}
