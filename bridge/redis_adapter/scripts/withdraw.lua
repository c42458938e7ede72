#!lua flags=allow-oom
-- Record that a user or session is disconnected now, and tell every gateway. Bounded, and allowed where Redis is full.
--
-- KEYS: withdrawals
-- ARGV.target       who
-- ARGV.ttl_s        how long it stays in the record, in s; 0: open streams end, and nothing is recorded
-- ARGV.most         entries of the record at most; the oldest fall off
-- ARGV.channel      on which gateways hear of it
--
-- Returns how many gateway processes heard of it, and how many entries fell off that had not had their time.

local now, ttl_s, evicted = now_ms(), tonumber(ARGV.ttl_s), 0
local order = '{"disconnect":' .. cjson.encode(ARGV.target) .. ',"at_ms":' .. digits(now)
if ttl_s == 0 then
  return {redis.call('PUBLISH', ARGV.channel, order .. ',"lasts":false}'), evicted}
end
redis.call('ZADD', KEYS.withdrawals, digits(now), ARGV.target)
redis.call('ZREMRANGEBYSCORE', KEYS.withdrawals, '-inf', digits(now - ttl_s * 1000))
evicted = redis.call('ZREMRANGEBYRANK', KEYS.withdrawals, 0, -1 - tonumber(ARGV.most))
redis.call('EXPIRE', KEYS.withdrawals, ttl_s)
return {redis.call('PUBLISH', ARGV.channel, order .. '}'), evicted}
