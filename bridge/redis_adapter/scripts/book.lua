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
count('accepted', tonumber(ARGV.events))
count('open', tonumber(ARGV.events))
write_counts(KEYS.counts)
return 1
