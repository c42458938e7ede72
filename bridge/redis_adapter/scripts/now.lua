-- The newest position handed out; in an empty Redis the order begins with this reading.
--
-- KEYS: position began
--
-- Returns: the position; '0-0' if there is none and Redis takes none. Redis time in ms (as text).

local now = now_ms()
return {newest_position(KEYS.position, KEYS.began, now), digits(now)}
