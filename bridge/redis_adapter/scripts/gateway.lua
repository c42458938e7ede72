#!lua flags=allow-oom
-- Add what a gateway process counted since it last said so, and write down how many streams it has open.
--
-- KEYS: metrics gateways began
-- ARGV.name         name of the process
-- ARGV.state        open streams, a blank, and the identity of its catalog
-- ARGV.silence_ms   a process that was silent for longer than this, in ms, is forgotten
-- ARGV.grown…       two a metric: name, by how much it grew
--
-- Returns where the order began; '' before it did. When that changes, positions that clients have may be worth nothing.

local now = now_ms()

for a = AT.grown, #ARGV, 2 do spare('HINCRBY', KEYS.metrics, ARGV[a], ARGV[a + 1]) end
redis.call('HSET', KEYS.gateways, ARGV.name, digits(now) .. ' ' .. ARGV.state)
forget_silent(KEYS.gateways, now, tonumber(ARGV.silence_ms))
return redis.call('GET', KEYS.began) or ''
