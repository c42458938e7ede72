-- Give up dead letters: each leaves a tombstone, and its events are counted as discarded.
--
-- KEYS[1]  dead index
-- KEYS[2]  dead letters
-- KEYS[3]  weights of letters that hold a whole message
-- KEYS[4]  counts
-- KEYS[5]  tombstones: hash, letter id → JSON
-- KEYS[6]  times of the tombstones: sorted set
-- KEYS[7]  letters that a replay has sent: hash, letter id → replay
-- KEYS[8]  heads of the letters
-- KEYS[9]  strays
-- ARGV[1]  tombstones to keep at the most
-- ARGV[2]  the replay that gives them up; '' if a person does
-- ARGV[3…] two a letter: id, tombstone
--
-- Returns how many were discarded, and how many were left because a replay has them on their way: discarded
-- meanwhile they would be published all the same.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local discarded, in_replay = 0, 0

local function is_on_its_way(id)
  local job = redis.call('HGET', KEYS[7], id)
  if not job or job == ARGV[2] then return false end
  local head = redis.call('HGET', KEYS[8], id)
  -- It may have died again in that replay, which has not noticed yet.
  return head and not string.find(head, '"replay":"' .. job .. '"', 1, true)
end

for a = 3, #ARGV, 2 do
  local id = ARGV[a]
  if is_on_its_way(id) then
    in_replay = in_replay + 1
  elseif delete_letters(KEYS[2], {id}) == 1 then
    local weight = tonumber(redis.call('HGET', KEYS[3], id) or 1)
    redis.call('ZREM', KEYS[1], id)
    redis.call('HDEL', KEYS[8], id)
    redis.call('SREM', KEYS[9], 'dead:' .. id)
    if weight > 1 then
      redis.call('HDEL', KEYS[3], id)
      count('dead_bundled', 1 - weight)
    end
    count('discarded', weight)
    redis.call('HSET', KEYS[5], id, ARGV[a + 1])
    redis.call('ZADD', KEYS[6], now, id)
    discarded = discarded + 1
  end
end

local surplus = redis.call('ZCARD', KEYS[6]) - tonumber(ARGV[1])
if surplus > 0 then
  for _, id in ipairs(redis.call('ZRANGE', KEYS[6], 0, surplus - 1)) do redis.call('HDEL', KEYS[5], id) end
  redis.call('ZREMRANGEBYRANK', KEYS[6], 0, surplus - 1)
  count('tombstones_evicted', surplus)
end
write_counts(KEYS[4])
return {discarded, in_replay}
