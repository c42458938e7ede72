-- Keep dead letters, and end the retries of their events.
--
-- KEYS[1]  index: sorted set, letter id → when it was buried, in ms
-- KEYS[2]  letters: hash, letter id → letter
-- KEYS[3]  counts
-- KEYS[4]  retry due
-- KEYS[5]  retry records
-- ARGV[1]  letters to keep at the most
-- ARGV[2]  ms to keep a letter
-- ARGV[3…] two a letter: id, letter
--
-- Returns how many letters were evicted. Burying the same letter again only rewrites it.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local most, buried, evicted = tonumber(ARGV[1]), 0, 0

for a = 3, #ARGV, 2 do
  local id = ARGV[a]
  if redis.call('HSET', KEYS[2], id, ARGV[a + 1]) == 1 then buried = buried + 1 end
  redis.call('ZADD', KEYS[1], now, id)
  redis.call('ZREM', KEYS[4], id)
  redis.call('HDEL', KEYS[5], id)
end

local function evict(ids)
  for _, id in ipairs(ids) do
    redis.call('ZREM', KEYS[1], id)
    redis.call('HDEL', KEYS[2], id)
    evicted = evicted + 1
  end
end

evict(redis.call('ZRANGE', KEYS[1], '-inf', now - tonumber(ARGV[2]), 'BYSCORE', 'LIMIT', 0, 1000))
local surplus = redis.call('ZCARD', KEYS[1]) - most
if surplus > 0 then evict(redis.call('ZRANGE', KEYS[1], 0, surplus - 1)) end

if buried > 0 then redis.call('HINCRBY', KEYS[3], 'dead', buried) end
if evicted > 0 then redis.call('HINCRBY', KEYS[3], 'dead_evicted', evicted) end
return evicted
