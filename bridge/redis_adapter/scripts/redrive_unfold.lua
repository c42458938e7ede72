-- Take a quarantined message apart: each of its events becomes a dead letter of its own, pending in the same redrive.
-- For a broker that is not this server: nothing can put the message back there and take its letter out in one step.
--
-- KEYS: redrive pending dead_index dead_letters dead_heads dead_weights counts retry_due retry_records strays
-- ARGV.owner           owner of the lease
-- ARGV.id              letter id
-- ARGV.most            letters to keep at most
-- ARGV.bytes_max       bytes of letters to keep at most
-- ARGV.letters…        three an event: id, letter, head
--
-- Returns 'unfolded'; 'gone' if the letter is not there any more; 'full' if there is no room for so many letters, so
-- that others would be pushed out; 'lease' if another process runs this redrive.

insist('HLEN', KEYS.dead_letters, KEYS.dead_heads, KEYS.dead_weights, KEYS.counts, KEYS.retry_records)
insist('ZCARD', KEYS.dead_index, KEYS.retry_due, KEYS.pending)
insist('SCARD', KEYS.strays)
local id = ARGV.id
local function answer(word, field)
  if field then spare('HINCRBY', KEYS.redrive, field, 1) end
  return redis.status_reply(word)
end

-- Whether its events' letters find room when this letter is gone.
local function fits()
  local letters = redis.call('ZCARD', KEYS.dead_index) - 1 + (#ARGV - AT.letters + 1) / 3
  local bytes = (whole(redis.call('HGET', KEYS.counts, 'dead_bytes')) or 0) - redis.call('HSTRLEN', KEYS.dead_letters, id)
  for a = AT.letters, #ARGV, 3 do bytes = bytes + #ARGV[a + 1] end
  return letters <= tonumber(ARGV.most) and bytes <= tonumber(ARGV.bytes_max)
end

if redis.call('HGET', KEYS.redrive, 'owner') ~= ARGV.owner then return answer('lease') end
if redis.call('ZREM', KEYS.pending, id) == 0 then return answer('gone') end
local buried_at = redis.call('ZSCORE', KEYS.dead_index, id)
if not buried_at then return answer('gone', 'gone') end
if not fits() then return answer('full', 'unsendable') end

local accounted = take_weight(KEYS.dead_weights, id)
take_letter(KEYS.dead_index, KEYS.dead_letters, KEYS.dead_heads, id)

local letters, pending = 0, 0
for a = AT.letters, #ARGV, 3 do
  local event_id, letter, head = ARGV[a], ARGV[a + 1], ARGV[a + 2]
  if take_accounted_retry(KEYS.retry_due, KEYS.retry_records, KEYS.strays, event_id) then accounted = accounted + 1 end
  if redis.call('HEXISTS', KEYS.dead_letters, event_id) == 0 then
    put_letter(KEYS.dead_index, KEYS.dead_letters, KEYS.dead_heads, buried_at, event_id, letter, head)
    letters = letters + 1
  end
  pending = pending + redis.call('ZADD', KEYS.pending, 0, event_id)
end
-- An event that has a letter already is accounted for there.
count_anew(accounted, letters)
write_counts(KEYS.counts)
spare('HINCRBY', KEYS.redrive, 'total', pending - 1)
return answer('unfolded')
