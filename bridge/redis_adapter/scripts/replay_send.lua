-- Send letters of a replay, and write down that they are sent, in one step: killed at any moment, neither twice nor never.
--
-- KEYS[1]  replay
-- KEYS[2]  its pending letters
-- KEYS[3]  its sent letters
-- KEYS[4]  letters in any replay: hash, letter id → replay
-- KEYS[5]  dead index
-- KEYS[6]  where the broker is this server: the queue. Elsewhere: set of letters that the broker has not confirmed
-- ARGV[1]  replay id
-- ARGV[2]  owner of the lease
-- ARGV[3]  the message; '' if the broker is elsewhere
-- ARGV[4…] letter ids, 1000 at the most
--
-- Returns 'sent'; 'lease' if another process runs this replay; or else nothing is sent, and the answer is the ids to
-- leave out: letters that are gone (taken off the pending ones), and, behind '', those that another replay has sent.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[2] then return redis.status_reply('lease') end

local ids = {}
for a = 4, #ARGV do ids[#ids + 1] = ARGV[a] end
local pending = redis.call('ZMSCORE', KEYS[2], unpack(ids))
local buried = redis.call('ZMSCORE', KEYS[5], unpack(ids))
local others = redis.call('HMGET', KEYS[4], unpack(ids))

local gone, busy = {}, {}
for at, id in ipairs(ids) do
  if not pending[at] then
    gone[#gone + 1] = id
  elseif not buried[at] then
    redis.call('ZREM', KEYS[2], id)
    redis.call('HINCRBY', KEYS[1], 'gone', 1)
    gone[#gone + 1] = id
  elseif others[at] and others[at] ~= ARGV[1] then
    busy[#busy + 1] = id
  end
end
if #gone + #busy > 0 then
  gone[#gone + 1] = ''
  for _, id in ipairs(busy) do gone[#gone + 1] = id end
  return gone
end

local sent, marks = {}, {}
for _, id in ipairs(ids) do
  sent[#sent + 1] = now
  sent[#sent + 1] = id
  marks[#marks + 1] = id
  marks[#marks + 1] = ARGV[1]
end
redis.call('ZREM', KEYS[2], unpack(ids))
redis.call('ZADD', KEYS[3], unpack(sent))
redis.call('HSET', KEYS[4], unpack(marks))
if ARGV[3] == '' then redis.call('SADD', KEYS[6], unpack(ids)) end
redis.call('HINCRBY', KEYS[1], 'sent', #ids)
if ARGV[3] ~= '' then redis.call('LPUSH', KEYS[6], ARGV[3]) end
return redis.status_reply('sent')
