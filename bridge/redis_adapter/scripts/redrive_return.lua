-- Put a quarantined message back on its queue as it was, and its events back on their way, in one step.
--
-- KEYS: redrive pending sent returned dead_index dead_letters dead_heads dead_weights counts open
-- KEYS.queue          queue
-- ARGV.owner          owner of the lease
-- ARGV.id             letter id
-- ARGV.message        the message
-- ARGV.book_id        its id in the accounting; '' if its events are waiting retries or letters of their own
-- ARGV.entry          what follows the time in its record, without the ids
-- ARGV.event_ids      ids of its events, 16 bytes each
-- ARGV.kept_s         s to keep the returned messages
--
-- Returns 'sent'; 'gone' if the letter is not there any more; 'lease' if another process runs this redrive.

insist('HLEN', KEYS.dead_letters, KEYS.dead_heads, KEYS.dead_weights, KEYS.counts, KEYS.open, KEYS.returned)
insist('ZCARD', KEYS.dead_index, KEYS.pending, KEYS.sent)
insist('LLEN', KEYS.queue)
local now = now_ms()
local id, book_id = ARGV.id, ARGV.book_id
if redis.call('HGET', KEYS.redrive, 'owner') ~= ARGV.owner then return redis.status_reply('lease') end
if redis.call('ZREM', KEYS.pending, id) == 0 then return redis.status_reply('gone') end
if not take_letter(KEYS.dead_index, KEYS.dead_letters, KEYS.dead_heads, id) then
  spare('HINCRBY', KEYS.redrive, 'gone', 1)
  return redis.status_reply('gone')
end

local weight, events = take_weight(KEYS.dead_weights, id), #ARGV.event_ids / 16
if book_id == '' then
  count('duplicate', weight)
else
  -- Another part of the same message may be on its way.
  local record = redis.call('HGET', KEYS.open, book_id) or accepted_at() .. ARGV.entry
  redis.call('HSET', KEYS.open, book_id, record .. ARGV.event_ids)
  count('open', events)
  count_anew(weight, events)
end
write_counts(KEYS.counts)

redis.call('ZADD', KEYS.sent, now, id)
redis.call('HSET', KEYS.returned, id, book_id)
redis.call('EXPIRE', KEYS.returned, ARGV.kept_s)
spare('HINCRBY', KEYS.redrive, 'sent', 1)
redis.call('LPUSH', KEYS.queue, ARGV.message)
return redis.status_reply('sent')
