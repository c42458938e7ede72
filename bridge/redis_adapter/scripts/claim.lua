-- Take messages off their queues and record them as unacknowledged, in one step: no crash can lose one.
--
-- KEYS[1]  unacked: hash, delivery tag → message and where it came from (kombu's format)
-- KEYS[2]  unacked index: sorted set, delivery tag → when it was claimed, in s of Redis time (kombu's format)
-- KEYS[3]  deliveries: hash, fingerprint of a message → how often it came back from the dead
-- KEYS[4…] queues, the one to serve first first
-- ARGV[1]  messages to take at the most; fewer if they are large
-- ARGV[2]  start of this claim's delivery tags
-- ARGV[3…] name of each queue, without any key prefix
--
-- Returns four values a message: delivery tag, index of its queue (from 1), the message, times it came back.

-- A worker reads what it claims at once: it takes a few more messages only while there are few bytes so far.
local STEP, BYTES_ENOUGH = 32, 4 * 1024 * 1024

local room, tag_start = tonumber(ARGV[1]), ARGV[2]
local time = redis.call('TIME')
local now = time[1] .. '.' .. string.format('%06d', time[2])
local any_came_back = redis.call('EXISTS', KEYS[3]) == 1
local taken, number, bytes = {}, 0, 0

local function pop(queue)
  local popped = {}
  while number + #popped < room and bytes < BYTES_ENOUGH do
    local some = redis.call('RPOP', queue, math.min(STEP, room - number - #popped)) or {}
    for _, message in ipairs(some) do
      popped[#popped + 1] = message
      bytes = bytes + #message
    end
    if #some < STEP then break end
  end
  return popped
end

for i = 4, #KEYS do
  -- Restoring goes by the queue's name alone, so that no routing table can mislead it.
  local from = ',"","' .. ARGV[i - 1] .. '"]'
  local entries, scores = {}, {}
  for at, message in ipairs(pop(KEYS[i])) do
    number = number + 1
    local tag = tag_start .. number
    local times = any_came_back and redis.call('HGET', KEYS[3], redis.sha1hex(message)) or '0'
    entries[2 * at - 1], entries[2 * at] = tag, '[' .. message .. from
    scores[2 * at - 1], scores[2 * at] = now, tag
    local last = 4 * number
    taken[last - 3], taken[last - 2], taken[last - 1], taken[last] = tag, i - 3, message, times or '0'
  end
  if #entries > 0 then
    -- At once: an error over the next queue must not find these in no place.
    redis.call('HSET', KEYS[1], unpack(entries))
    redis.call('ZADD', KEYS[2], unpack(scores))
  end
end

return taken
