-- Write down what a worker says of itself, and forget those that have been silent for long.
--
-- KEYS[1]  workers
-- ARGV[1]  name of the worker
-- ARGV[2]  what it says, JSON
-- ARGV[3]  a worker that was silent for longer than this, in ms, is forgotten; '' to forget none

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now) .. ' ' .. ARGV[2])
if ARGV[3] ~= '' then
  local all = redis.call('HGETALL', KEYS[1])
  for i = 1, #all, 2 do
    local at = tonumber(string.match(all[i + 1], '^(%d+) '))
    if not at or now - at > tonumber(ARGV[3]) then redis.call('HDEL', KEYS[1], all[i]) end
  end
end
return redis.status_reply('OK')
