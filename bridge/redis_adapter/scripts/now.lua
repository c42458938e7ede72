-- The newest position handed out; in an empty Redis the order begins with this reading.
--
-- KEYS[1]  position: the newest position handed out
-- KEYS[2]  position where the order began
--
-- Returns: the position; '0-0' if there is none and Redis takes none. Redis time in ms (as text).

local time = redis.call('TIME')
local now_ms = string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
local newest = redis.call('GET', KEYS[1])
if newest then return {newest, now_ms} end
local position = now_ms .. '-0'
-- A full Redis refuses; reading goes on all the same.
local began = redis.pcall('SET', KEYS[2], position)
if began.err or redis.pcall('SET', KEYS[1], position).err then position = '0-0' end
return {position, now_ms}
