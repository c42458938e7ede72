-- Send letters of a replay, and write down that they are sent, in one step: killed at any moment, neither twice nor never.
--
-- KEYS.replay       replay
-- KEYS.pending      its pending letters
-- KEYS.sent         its sent letters
-- KEYS.in_replay    letters in any replay: hash, letter id → replay
-- KEYS.dead_index   dead index
-- KEYS.place        where the broker is this server: the queue. Elsewhere: set of letters that the broker has not confirmed
-- ARGV.replay       replay id
-- ARGV.owner        owner of the lease
-- ARGV.message      the message; '' if the broker is elsewhere
-- ARGV.ids…         letter ids, 1000 at the most
--
-- Returns 'sent'; 'lease' if another process runs this replay; or else nothing is sent, and the answer is the ids to
-- leave out: letters that are gone (taken off the pending ones), and, behind '', those that another replay has sent.

local now = now_ms()
if redis.call('HGET', KEYS.replay, 'owner') ~= ARGV.owner then return redis.status_reply('lease') end

local ids = {}
for a = AT.ids, #ARGV do ids[#ids + 1] = ARGV[a] end
local pending = redis.call('ZMSCORE', KEYS.pending, unpack(ids))
local buried = redis.call('ZMSCORE', KEYS.dead_index, unpack(ids))
local others = redis.call('HMGET', KEYS.in_replay, unpack(ids))

local gone, busy = {}, {}
for at, id in ipairs(ids) do
  if not pending[at] then
    gone[#gone + 1] = id
  elseif not buried[at] then
    redis.call('ZREM', KEYS.pending, id)
    redis.call('HINCRBY', KEYS.replay, 'gone', 1)
    gone[#gone + 1] = id
  elseif others[at] and others[at] ~= ARGV.replay then
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
  marks[#marks + 1] = ARGV.replay
end
redis.call('ZREM', KEYS.pending, unpack(ids))
redis.call('ZADD', KEYS.sent, unpack(sent))
redis.call('HSET', KEYS.in_replay, unpack(marks))
if ARGV.message == '' then redis.call('SADD', KEYS.place, unpack(ids)) end
redis.call('HINCRBY', KEYS.replay, 'sent', #ids)
if ARGV.message ~= '' then redis.call('LPUSH', KEYS.place, ARGV.message) end
return redis.status_reply('sent')
