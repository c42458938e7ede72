-- Enter a message into the accounting that its producer did not announce; once, however often it is delivered.
--
-- KEYS: open counts booked
-- ARGV.id            id of the message
-- ARGV.entry         what follows the time in its record
-- ARGV.events        events in it
-- ARGV.mark_life_s   life of the mark in s

insist('HLEN', KEYS.open, KEYS.counts)
if not redis.call('SET', KEYS.booked, '1', 'NX', 'EX', ARGV.mark_life_s) then return 0 end
if redis.call('HSETNX', KEYS.open, ARGV.id, accepted_at() .. ARGV.entry) == 0 then return 0 end
redis.call('HINCRBY', KEYS.counts, 'accepted', ARGV.events)
redis.call('HINCRBY', KEYS.counts, 'open', ARGV.events)
return 1
