-- Does Redis still know an event that was heard a while ago? If not it was set back, and the order begins anew.
--
-- KEYS.seen       seen mark of the event
-- KEYS: position began
-- ARGV.heard      position at which the event was heard
--
-- Returns 1 if it does, 0 if the order begins anew.

if redis.call('GET', KEYS.seen) == ARGV.heard then return 1 end
-- Another gateway may have noticed before.
local began = redis.call('GET', KEYS.began)
if not (began and is_after(began, ARGV.heard)) then begin_anew(KEYS.position, KEYS.began) end
return 0
