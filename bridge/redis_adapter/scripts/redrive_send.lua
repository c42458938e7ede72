-- Send letters of a redrive, and write down that they are sent, in one step: whoever is killed at any moment, they are
-- sent once.
--
-- KEYS: redrive pending sent in_redrive dead_index
-- KEYS.place        the queue, where the broker is this server; otherwise the set of letters that the broker has not
--                   confirmed
-- ARGV.redrive      redrive id
-- ARGV.owner        owner of the lease
-- ARGV.message      the message; '' if the broker is elsewhere
-- ARGV.ids…         letter ids, 1000 at most
--
-- Returns 'sent'; 'lease' if another process runs this redrive; or else nothing is sent, and the answer is the ids to
-- leave out: letters that are gone (taken off the pending ones), and, behind '', those that another redrive has sent.

insist('HLEN', KEYS.in_redrive)
insist('ZCARD', KEYS.dead_index, KEYS.pending, KEYS.sent)
insist(ARGV.message == '' and 'SCARD' or 'LLEN', KEYS.place)
if redis.call('HGET', KEYS.redrive, 'owner') ~= ARGV.owner then return redis.status_reply('lease') end
local now, ids = now_ms(), {unpack(ARGV, AT.ids)}

-- Letters that are gone are taken off the pending ones; those that another redrive has sent are the caller's matter.
local function sift()
  local pending = redis.call('ZMSCORE', KEYS.pending, unpack(ids))
  local buried = redis.call('ZMSCORE', KEYS.dead_index, unpack(ids))
  local redrives = redis.call('HMGET', KEYS.in_redrive, unpack(ids))
  local gone, busy = {}, {}
  for at, id in ipairs(ids) do
    if pending[at] and not buried[at] then
      redis.call('ZREM', KEYS.pending, id)
      spare('HINCRBY', KEYS.redrive, 'gone', 1)
    end
    if not pending[at] or not buried[at] then
      gone[#gone + 1] = id
    elseif redrives[at] and redrives[at] ~= ARGV.redrive then
      busy[#busy + 1] = id
    end
  end
  return gone, busy
end

local function mark_as_sent()
  local times, redrives = {}, {}
  for at, id in ipairs(ids) do
    times[2 * at - 1], times[2 * at] = now, id
    redrives[2 * at - 1], redrives[2 * at] = id, ARGV.redrive
  end
  redis.call('ZREM', KEYS.pending, unpack(ids))
  redis.call('ZADD', KEYS.sent, unpack(times))
  redis.call('HSET', KEYS.in_redrive, unpack(redrives))
  spare('HINCRBY', KEYS.redrive, 'sent', #ids)
end

local gone, busy = sift()
if #gone + #busy > 0 then
  gone[#gone + 1] = ''
  for _, id in ipairs(busy) do gone[#gone + 1] = id end
  return gone
end
mark_as_sent()
if ARGV.message == '' then
  redis.call('SADD', KEYS.place, unpack(ids))
else
  redis.call('LPUSH', KEYS.place, ARGV.message)
end
return redis.status_reply('sent')
