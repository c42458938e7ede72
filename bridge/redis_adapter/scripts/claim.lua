-- Take messages off their queues and record them as unacknowledged, in one step: no crash can lose one.
--
-- KEYS.unacked         hash, delivery tag → message and where it came from (kombu's format)
-- KEYS.unacked_index   sorted set, delivery tag → when it was claimed, in s of Redis time (kombu's format)
-- KEYS.deliveries      hash, fingerprint of a message → how often it came back from the dead
-- KEYS.queues…         queues, the one to serve first first
-- ARGV.most            messages to take at most; fewer if they are large
-- ARGV.tag_start       start of this claim's delivery tags
-- ARGV.names…          name of each queue, without any key prefix
--
-- Returns four values a message: delivery tag, index of its queue (from 1), the message, times it came back.

-- A worker reads what it claims at once: it takes a few more messages only while there are few bytes so far.
local STEP, BYTES_ENOUGH = 32, 4 * 1024 * 1024

local room, tag_start = tonumber(ARGV.most), ARGV.tag_start
local time = redis.call('TIME')
local now = time[1] .. '.' .. string.format('%06d', time[2])
local any_came_back = redis.call('EXISTS', KEYS.deliveries) == 1 and tonumber(redis.pcall('HLEN', KEYS.deliveries))
local taken, number, bytes = {}, 0, 0

local function pop(queue)
  local popped = {}
  while number + #popped < room and bytes < BYTES_ENOUGH do
    local some = spare('RPOP', queue, math.min(STEP, room - number - #popped))
    if not some then break end  -- empty, or no list; the other queues are served all the same
    for _, message in ipairs(some) do
      popped[#popped + 1] = message
      bytes = bytes + #message
    end
    if #some < STEP then break end
  end
  return popped
end

for i = AT.queues, #KEYS do
  -- Restoring goes by the queue's name alone, so that no routing table can mislead it.
  local from = ',"","' .. ARGV[i - AT.queues + AT.names] .. '"]'
  local entries, scores = {}, {}
  local popped = pop(KEYS[i])
  for at, message in ipairs(popped) do
    number = number + 1
    local tag = tag_start .. number
    local times = any_came_back and redis.call('HGET', KEYS.deliveries, redis.sha1hex(message))
    entries[2 * at - 1], entries[2 * at] = tag, '[' .. message .. from
    scores[2 * at - 1], scores[2 * at] = now, tag
    local last = 4 * number
    taken[last - 3], taken[last - 2], taken[last - 1], taken[last] = tag, i - AT.queues + 1, message,
      times and string.match(times, '^%d+$') or '0'
  end
  if #entries > 0 then
    -- At once: an error over the next queue must not find these in no place. Nor may one here, where strangers wrote.
    local refusal = redis.pcall('ZADD', KEYS.unacked_index, unpack(scores))
    if type(refusal) == 'number' then refusal = redis.pcall('HSET', KEYS.unacked, unpack(entries)) end
    if type(refusal) == 'table' then
      for at = #popped, 1, -1 do redis.call('RPUSH', KEYS[i], popped[at]) end
      return refusal
    end
  end
end

return taken
