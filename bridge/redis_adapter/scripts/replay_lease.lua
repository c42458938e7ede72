-- Take, renew or give back the right to run a replay.
--
-- KEYS[1]  replay
-- ARGV[1]  who asks: a name that no other process has
-- ARGV[2]  lease in ms; 0 gives it back
--
-- Returns 0 if the asker has it (or gave it back), otherwise ms until the present owner's lease ends.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local owner = redis.call('HGET', KEYS[1], 'owner') or ''
local ends = tonumber(redis.call('HGET', KEYS[1], 'lease_ends') or 0)

if owner ~= ARGV[1] and owner ~= '' and ends > now then return ends - now end
if ARGV[2] == '0' then
  if owner == ARGV[1] then redis.call('HSET', KEYS[1], 'owner', '', 'lease_ends', 0) end
  return 0
end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'lease_ends', string.format('%.0f', now + tonumber(ARGV[2])))
return 0
