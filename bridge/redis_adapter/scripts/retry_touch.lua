-- Change when waiting retries are due; those that a mover has taken are left alone.
--
-- KEYS[1]  due
-- KEYS[2]  records
-- ARGV[1]  ms from now; with a half to take them, as a mover does
-- ARGV[2…] event ids
--
-- Returns the ids that were changed.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local due_at = string.format('%.1f', now + tonumber(ARGV[1]))
local changed = {}

for a = 2, #ARGV do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[a])
  local due = score and tonumber(score)
  if due and due % 1 == 0 and redis.call('HEXISTS', KEYS[2], ARGV[a]) == 1 then
    redis.call('ZADD', KEYS[1], due_at, ARGV[a])
    changed[#changed + 1] = ARGV[a]
  end
end
return changed
