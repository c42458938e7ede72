-- Keep a ticket for a short while, unless its user has too many of them.
--
-- KEYS.ticket       the ticket's
-- KEYS.issued       how many the user has got lately
-- KEYS: withdrawals
-- ARGV.record       what it stands for
-- ARGV.ttl_s        how long it is good, in s
-- ARGV.most         tickets of one user in that time at most
-- ARGV.age_ms       for how long its user has been known; a disconnect since then counts against it
-- ARGV.targets…     whose disconnects count
--
-- Returns 1 if it is kept, else 0; and since how many ms one of the targets is disconnected, or -1.

local now, withdrawn = now_ms(), -1
for a = AT.targets, #ARGV do
  withdrawn = math.max(withdrawn, tonumber(redis.call('ZSCORE', KEYS.withdrawals, ARGV[a]) or '-1'))
end
local ago = withdrawn < 0 and -1 or math.max(0, now - withdrawn)
local issued = tonumber(redis.call('GET', KEYS.issued) or '0')
if issued >= tonumber(ARGV.most) then return {0, ago} end
redis.call('SET', KEYS.ticket, digits(now - ARGV.age_ms) .. ' ' .. ARGV.record, 'EX', ARGV.ttl_s)
-- The first opens the time in which they are counted.
if issued == 0 then
  redis.call('SET', KEYS.issued, 1, 'EX', ARGV.ttl_s)
else
  redis.call('SET', KEYS.issued, issued + 1, 'KEEPTTL')
end
return {1, ago}
