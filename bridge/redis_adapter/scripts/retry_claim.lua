-- Take due retries for a while: until the lease ends, no other worker gets them.
--
-- KEYS: retry_due retry_records
-- ARGV.lease_ms        lease in ms
-- ARGV.most            retries to take at most
--
-- Returns: ms until the next one is due (-1: none waits), the end of the lease, then id and record of each.

local now = now_ms()
-- The half marks a retry that was taken: whoever acts on waiting ones leaves it alone.
local lease_ends = string.format('%.1f', now + tonumber(ARGV.lease_ms) + 0.5)
local claimed = {}

for _, id in ipairs(redis.call('ZRANGE', KEYS.retry_due, '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV.most)) do
  local record = redis.call('HGET', KEYS.retry_records, id)
  if record and string.match(id, '^[ -~]+$') then  -- what is no text is a stranger's, and no event's id
    redis.call('ZADD', KEYS.retry_due, lease_ends, id)
    claimed[#claimed + 1] = id
    claimed[#claimed + 1] = record
  else
    redis.call('ZREM', KEYS.retry_due, id)
  end
end

local first = redis.call('ZRANGE', KEYS.retry_due, 0, 0, 'WITHSCORES')
local wait_ms = first[2] and math.max(0, tonumber(first[2]) - now) or -1
return {wait_ms, lease_ends, unpack(claimed)}
