#!lua flags=allow-oom
-- Take, renew or give back the right to run a redrive.
--
-- KEYS: redrive
-- ARGV.owner      who asks: a name that no other process has
-- ARGV.lease_ms   lease in ms; 0 gives it back
--
-- Returns 0 if the asker has it (or gave it back), otherwise ms until the present owner's lease ends.

local now = now_ms()
local owner = redis.call('HGET', KEYS.redrive, 'owner') or ''
local ends = whole(redis.call('HGET', KEYS.redrive, 'lease_ends')) or 0

if owner ~= ARGV.owner and owner ~= '' and ends > now then return ends - now end
if ARGV.lease_ms == '0' then
  if owner == ARGV.owner then redis.call('HSET', KEYS.redrive, 'owner', '', 'lease_ends', 0) end
  return 0
end
redis.call('HSET', KEYS.redrive, 'owner', ARGV.owner, 'lease_ends', digits(now + tonumber(ARGV.lease_ms)))
return 0
