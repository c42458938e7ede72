-- Take due retries for a while: until the lease ends, no other worker gets them.
--
-- KEYS[1] due
-- KEYS[2] records
-- ARGV[1] lease in ms
-- ARGV[2] retries to take at the most
--
-- Returns: ms until the next one is due (-1: none waits), the end of the lease, then id and record of each.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
-- The half marks a retry that was taken: whoever acts on waiting ones leaves it alone.
local lease_ends = string.format('%.1f', now + tonumber(ARGV[1]) + 0.5)
local claimed = {}

for _, id in ipairs(redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[2])) do
  local record = redis.call('HGET', KEYS[2], id)
  if record then
    redis.call('ZADD', KEYS[1], lease_ends, id)
    claimed[#claimed + 1] = id
    claimed[#claimed + 1] = record
  else
    redis.call('ZREM', KEYS[1], id)
  end
end

local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local wait_ms = first[2] and math.max(0, tonumber(first[2]) - now) or -1
return {wait_ms, lease_ends, unpack(claimed)}
