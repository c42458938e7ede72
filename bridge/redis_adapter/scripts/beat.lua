-- Write down what a worker says of itself, and forget those that have been silent for long; and sample the counts now
-- and then, whichever worker comes first.
--
-- KEYS[1]  workers
-- KEYS[2]  counts
-- KEYS[3]  samples of the counts: list, newest first, of '<ms> <count> …'
-- ARGV[1]  name of the worker
-- ARGV[2]  what it says, JSON
-- ARGV[3]  a worker that was silent for longer than this, in ms, is forgotten; '' to forget none
-- ARGV[4]  ms between two samples at the least
-- ARGV[5]  samples to keep
-- ARGV[6…] counts to sample

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

local newest = redis.call('LINDEX', KEYS[3], 0)
local sampled = newest and tonumber(string.match(newest, '^(%d+) ')) or 0
if now - sampled >= tonumber(ARGV[4]) or sampled > now then
  local names, sample = {}, {string.format('%.0f', now)}
  for a = 6, #ARGV do names[#names + 1] = ARGV[a] end
  for _, value in ipairs(redis.call('HMGET', KEYS[2], unpack(names))) do sample[#sample + 1] = value or '0' end
  redis.call('LPUSH', KEYS[3], table.concat(sample, ' '))
  redis.call('LTRIM', KEYS[3], 0, tonumber(ARGV[5]) - 1)
end
return redis.status_reply('OK')
