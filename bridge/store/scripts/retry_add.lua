-- Let failed events wait for their next attempt.
--
-- KEYS[1]  due: sorted set, event id → due time in ms
-- KEYS[2]  records: hash, event id → '<attempt>:<record>'
-- KEYS[3]  counts
-- ARGV[1]  most records that may wait
-- ARGV[2…] four an event: event id, attempt that failed, wait in ms, record
--
-- Returns the ids that found no room. Adding the same attempt again changes nothing.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local most, refused, added = tonumber(ARGV[1]), {}, 0

for a = 2, #ARGV, 4 do
  local id, attempt, wait_ms, record = ARGV[a], tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2]), ARGV[a + 3]
  local known = redis.call('HGET', KEYS[2], id)
  local known_attempt = known and tonumber(string.match(known, '^(%d+):')) or 0
  if not known and redis.call('HLEN', KEYS[2]) >= most then
    refused[#refused + 1] = id
  elseif known_attempt < attempt then
    redis.call('HSET', KEYS[2], id, ARGV[a + 1] .. ':' .. record)
    redis.call('ZADD', KEYS[1], now + wait_ms, id)
    added = added + 1
  end
end

if added > 0 then redis.call('HINCRBY', KEYS[3], 'retried', added) end
return refused
