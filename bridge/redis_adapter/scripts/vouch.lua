-- Does Redis still know an event that was heard a while ago? If not it was set back, and the order begins anew.
--
-- KEYS[1]  seen mark of the event
-- KEYS[2]  position: the newest position handed out
-- KEYS[3]  position where the order began
-- ARGV[1]  position at which the event was heard
--
-- Returns 1 if it does, 0 if the order begins anew.

if redis.call('GET', KEYS[1]) == ARGV[1] then return 1 end
-- Another gateway may have noticed before.
local began = redis.call('GET', KEYS[3])
local function split(position)
  local ms, seq = string.match(position, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(seq)
end
if began then
  local began_ms, began_seq = split(began)
  local heard_ms, heard_seq = split(ARGV[1])
  if began_ms > heard_ms or (began_ms == heard_ms and began_seq > heard_seq) then return 0 end
end
begin_anew(KEYS[2], KEYS[3])
return 0
