-- Add what a gateway process counted since it last said so, and write down how many streams it has open.
--
-- KEYS[1]  metrics
-- KEYS[2]  gateways
-- KEYS[3]  position where the order began
-- ARGV[1]  name of the process
-- ARGV[2]  open streams, a blank, and the identity of its catalog
-- ARGV[3]  a process that was silent for longer than this, in ms, is forgotten
-- ARGV[4…] two a metric: name, by how much it grew
--
-- Returns where the order began; '' before it did. When that changes, positions that clients have may be worth nothing.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

for a = 4, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[a], ARGV[a + 1]) end
redis.call('HSET', KEYS[2], ARGV[1], string.format('%.0f', now) .. ' ' .. ARGV[2])
local all = redis.call('HGETALL', KEYS[2])
for i = 1, #all, 2 do
  local at = tonumber(string.match(all[i + 1], '^(%d+) '))
  if not at or now - at > tonumber(ARGV[3]) then redis.call('HDEL', KEYS[2], all[i]) end
end
return redis.call('GET', KEYS[3]) or ''
