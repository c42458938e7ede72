-- Enter messages into the accounting and put them on their queues, in one step: what is announced is on its way.
--
-- KEYS: open counts position began
-- KEYS.queues…      queues; none where the broker is elsewhere
-- ARGV.seen         how many accepted events the sender has seen in the accounting, at most; 0 if none
-- ARGV.seen_times   how often the accounting had been set back by then
-- ARGV.messages…    five a message: its id in the accounting; what follows the time in its record, or '' if its events
--                   are accounted for already; how many events it has; which of the queues it is put on, from 1, or 0
--                   for none; the message
--
-- Sending the same message again may put it on its queue twice, but enters it once.
--
-- An accounting that knows of fewer accepted events than before was set back, by a fail-over to a replica that lagged behind or
-- by a restore: what is missing is counted, once, by whoever has seen most. No position from before can be vouched for,
-- so the order begins anew.
--
-- Returns how many events the accounting knows to be accepted, 0 if nothing was entered or that is no number any more; and how often it was set back.

local now, accepted, pushed = accepted_at(), 0, {}
-- Asked for here, a wrong type of key fails all before anything is written.
for queue = AT.queues, #KEYS do redis.call('LLEN', KEYS[queue]) end
local times = whole(redis.call('HGET', KEYS.counts, 'set_back_times')) or 0

-- One LPUSH a queue, however many messages it gets.
for a = AT.messages, #ARGV, 5 do
  local queue = tonumber(ARGV[a + 3])
  if ARGV[a + 1] ~= '' and redis.call('HSETNX', KEYS.open, ARGV[a], now .. ARGV[a + 1]) == 1 then
    accepted = accepted + tonumber(ARGV[a + 2])
  end
  if queue > 0 then
    pushed[queue] = pushed[queue] or {}
    table.insert(pushed[queue], ARGV[a + 4])
  end
end

-- How many accepted events this sender has seen that Redis knows nothing of. If somebody has noticed before, only what
-- he had not seen is to be added.
local function lost_of(known, times)
  if tonumber(ARGV.seen_times) < times then
    return ARGV.seen - (whole(redis.call('HGET', KEYS.counts, 'set_back_seen')) or 0), times
  end
  return ARGV.seen - (known - accepted), ARGV.seen_times + 1
end

-- Of a count that is text now nothing can be told.
local known = accepted > 0 and spare('HINCRBY', KEYS.counts, 'accepted', accepted) or 0
if known > 0 then
  local lost, times_then = lost_of(known, times)
  if lost > 0 then
    times = times_then
    known = redis.call('HINCRBY', KEYS.counts, 'accepted', lost)
    spare('HINCRBY', KEYS.counts, 'set_back', lost)
    redis.call('HSET', KEYS.counts, 'set_back_times', times, 'set_back_seen', ARGV.seen)
    begin_anew(KEYS.position, KEYS.began)
  end
end
if accepted > 0 then spare('HINCRBY', KEYS.counts, 'open', accepted) end
for queue, messages in pairs(pushed) do redis.call('LPUSH', KEYS[AT.queues - 1 + queue], unpack(messages)) end
return {known, times}
