-- The order of all streams, put in front of every script that may begin it anew.

-- From here on no earlier position can be vouched for: whoever reads on from one is told so.
local function begin_anew(position_key, began_key)
  local time = redis.call('TIME')
  local ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  local newest = redis.call('GET', position_key)
  local last_ms = newest and tonumber(string.match(newest, '^(%d+)-'))
  if last_ms and last_ms >= ms then ms = last_ms + 1 end
  local position = string.format('%.0f-0', ms)
  redis.call('SET', began_key, position)
  redis.call('SET', position_key, position)
end

