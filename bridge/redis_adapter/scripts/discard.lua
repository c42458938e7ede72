#!lua flags=allow-oom
-- Give up dead letters: each leaves a tombstone, and its events are counted as discarded.
--
-- KEYS: dead_index dead_letters dead_weights counts tombstones tombstone_times in_redrive dead_heads strays
-- ARGV.most              tombstones to keep at most
-- ARGV.redrive           the redrive that gives them up; '' if a person does
-- ARGV.letters…          two a letter: id, tombstone
--
-- Returns how many were discarded, and how many were left because a redrive has them on their way: discarded
-- meanwhile they would be published all the same.

insist('HLEN', KEYS.dead_letters, KEYS.dead_heads, KEYS.dead_weights, KEYS.counts, KEYS.tombstones, KEYS.in_redrive)
insist('ZCARD', KEYS.dead_index, KEYS.tombstone_times)
insist('SCARD', KEYS.strays)
local now = now_ms()
local discarded, in_redrive = 0, 0

local function is_on_its_way(id)
  local job = redis.call('HGET', KEYS.in_redrive, id)
  if not job or job == ARGV.redrive then return false end
  local head = redis.call('HGET', KEYS.dead_heads, id)
  -- It may have died again in that redrive, which has not noticed yet.
  return head and not string.find(head, '"replay":"' .. job .. '"', 1, true)
end

for a = AT.letters, #ARGV, 2 do
  local id = ARGV[a]
  if is_on_its_way(id) then
    in_redrive = in_redrive + 1
  elseif take_letter(KEYS.dead_index, KEYS.dead_letters, KEYS.dead_heads, id) then
    redis.call('SREM', KEYS.strays, 'dead:' .. id)
    count('discarded', take_weight(KEYS.dead_weights, id))
    redis.call('HSET', KEYS.tombstones, id, ARGV[a + 1])
    redis.call('ZADD', KEYS.tombstone_times, now, id)
    discarded = discarded + 1
  end
end

local surplus = redis.call('ZCARD', KEYS.tombstone_times) - tonumber(ARGV.most)
if surplus > 0 then
  local oldest = redis.call('ZRANGE', KEYS.tombstone_times, 0, surplus - 1)
  for _, id in ipairs(oldest) do redis.call('HDEL', KEYS.tombstones, id) end
  redis.call('ZREMRANGEBYRANK', KEYS.tombstone_times, 0, surplus - 1)
  count('tombstones_evicted', surplus)
end
write_counts(KEYS.counts)
return {discarded, in_redrive}
