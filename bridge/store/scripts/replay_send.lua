-- Send letters of a replay, and write down that they are sent, in one step: killed at any moment, neither twice nor never.
--
-- KEYS[1]  replay
-- KEYS[2]  its pending letters
-- KEYS[3]  its sent letters
-- KEYS[4]  letters in any replay: hash, letter id → replay
-- KEYS[5]  dead letters
-- KEYS[6]  where the broker is this server: the queue. Elsewhere: set of letters that the broker has not confirmed
-- ARGV[1]  replay id
-- ARGV[2]  owner of the lease
-- ARGV[3]  the message; '' if the broker is elsewhere
-- ARGV[4…] letter ids
--
-- Returns 'sent'; 'lease' if another process runs this replay; or else nothing is sent, and the answer is the ids to
-- leave out: letters that are gone (taken off the pending ones), and, behind '', those that another replay has sent.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[2] then return redis.status_reply('lease') end

local gone, busy = {}, {}
for a = 4, #ARGV do
  local id = ARGV[a]
  local other = redis.call('HGET', KEYS[4], id)
  if not redis.call('ZSCORE', KEYS[2], id) then
    gone[#gone + 1] = id
  elseif redis.call('HEXISTS', KEYS[5], id) == 0 then
    redis.call('ZREM', KEYS[2], id)
    redis.call('HINCRBY', KEYS[1], 'gone', 1)
    gone[#gone + 1] = id
  elseif other and other ~= ARGV[1] then
    busy[#busy + 1] = id
  end
end
if #gone + #busy > 0 then
  gone[#gone + 1] = ''
  for _, id in ipairs(busy) do gone[#gone + 1] = id end
  return gone
end

for a = 4, #ARGV do
  redis.call('ZREM', KEYS[2], ARGV[a])
  redis.call('ZADD', KEYS[3], now, ARGV[a])
  redis.call('HSET', KEYS[4], ARGV[a], ARGV[1])
  if ARGV[3] == '' then redis.call('SADD', KEYS[6], ARGV[a]) end
end
redis.call('HINCRBY', KEYS[1], 'sent', #ARGV - 3)
if ARGV[3] ~= '' then redis.call('LPUSH', KEYS[6], ARGV[3]) end
return redis.status_reply('sent')
