-- Enter messages into the books and put them on their queues, in one step: what is announced is on its way.
--
-- KEYS[1]  open messages
-- KEYS[2]  counts
-- KEYS[3…] queues; none where the broker is elsewhere
-- ARGV     five a message: its id in the books; what follows the time in its record, or '' if its events are in the
--          books already; how many events it has; which of the queues it is put on, from 1, or 0 for none; the message
--
-- Sending the same message again may put it on its queue twice, but enters it once.

local time = redis.call('TIME')
local now = string.format('%013.0f ', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
local accepted, pushed = 0, {}

for a = 1, #ARGV, 5 do
  local queue = tonumber(ARGV[a + 3])
  if ARGV[a + 1] ~= '' and redis.call('HSETNX', KEYS[1], ARGV[a], now .. ARGV[a + 1]) == 1 then
    accepted = accepted + tonumber(ARGV[a + 2])
  end
  if queue > 0 then
    pushed[queue] = pushed[queue] or {}
    table.insert(pushed[queue], ARGV[a + 4])
  end
end

if accepted > 0 then
  redis.call('HINCRBY', KEYS[2], 'accepted', accepted)
  redis.call('HINCRBY', KEYS[2], 'open', accepted)
end
for queue, messages in pairs(pushed) do redis.call('LPUSH', KEYS[2 + queue], unpack(messages)) end
return redis.status_reply('OK')
