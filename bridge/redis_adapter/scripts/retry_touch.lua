-- Change when waiting retries are due; those that a mover has taken are left alone.
--
-- KEYS: retry_due retry_records
-- ARGV.after_ms        ms from now; with a half to take them, as a mover does
-- ARGV.ids…            event ids
--
-- Returns the ids that were changed.

local now = now_ms()
local due_at = string.format('%.1f', now + tonumber(ARGV.after_ms))
local changed = {}

for a = AT.ids, #ARGV do
  local score = redis.call('ZSCORE', KEYS.retry_due, ARGV[a])
  local due = score and tonumber(score)
  if due and due % 1 == 0 and redis.call('HEXISTS', KEYS.retry_records, ARGV[a]) == 1 then
    redis.call('ZADD', KEYS.retry_due, due_at, ARGV[a])
    changed[#changed + 1] = ARGV[a]
  end
end
return changed
