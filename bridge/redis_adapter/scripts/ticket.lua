-- Keep a ticket for a short while, unless its user has too many of them.
--
-- KEYS.ticket       the ticket's
-- KEYS.issued       how many the user has got lately
-- ARGV.record       what it stands for
-- ARGV.ttl_s        how long it is good, in s
-- ARGV.most         tickets of one user in that time at most
-- ARGV.age_ms       for how long its user has been known; a disconnect since then counts against it
--
-- Returns 1 if it is kept, else 0.

local issued = tonumber(redis.call('GET', KEYS.issued) or '0')
if issued >= tonumber(ARGV.most) then return 0 end
redis.call('SET', KEYS.ticket, digits(now_ms() - ARGV.age_ms) .. ' ' .. ARGV.record, 'EX', ARGV.ttl_s)
-- The first opens the time in which they are counted.
if issued == 0 then
  redis.call('SET', KEYS.issued, 1, 'EX', ARGV.ttl_s)
else
  redis.call('SET', KEYS.issued, issued + 1, 'KEEPTTL')
end
return 1
