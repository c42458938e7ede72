-- Enter one message into the books and put it on its queue, in one step: what is announced is on its way.
--
-- KEYS[1]  open messages
-- KEYS[2]  counts
-- KEYS[3]  queue; absent where the broker is elsewhere
-- ARGV[1]  id of the message in the books
-- ARGV[2]  what follows the time in its record; '' if its events are in the books already
-- ARGV[3]  events in it
-- ARGV[4]  the message
--
-- Sending the same message again may put it on its queue twice, but enters it once.

if ARGV[2] ~= '' then
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  if redis.call('HSETNX', KEYS[1], ARGV[1], string.format('%013.0f', now) .. ' ' .. ARGV[2]) == 1 then
    redis.call('HINCRBY', KEYS[2], 'accepted', ARGV[3])
    redis.call('HINCRBY', KEYS[2], 'open', ARGV[3])
  end
end
if KEYS[3] then redis.call('LPUSH', KEYS[3], ARGV[4]) end
return redis.status_reply('OK')
