#!lua flags=allow-oom
-- Move messages to another queue, each in one step with what the accounting says of it.
--
-- KEYS.open       open messages; where the accounting is on another server than the queues, this script runs on both: on
--                 the broker's there is no such hash
-- KEYS.source     queue; left out on the server of the accounting alone
-- KEYS.target     other queue
-- ARGV.name       name of the other queue, as the accounting calls it
-- ARGV.messages…  two a message, the one that is served next first: its SHA-1, and its id in the accounting, '' if unknown
--
-- Returns how many were moved: a message that somebody took meanwhile ends it.

local moved = 0

local function rename(id)
  local record = id ~= '' and redis.call('HGET', KEYS.open, id)
  local before, after = string.match(record or '', '^(%d+ %S+ )%S+(\n.*)$')
  if before then redis.call('HSET', KEYS.open, id, before .. ARGV.name .. after) end
end

for a = AT.messages, #ARGV, 2 do
  if KEYS.source then
    local message = redis.call('LINDEX', KEYS.source, -1)
    if not message or redis.sha1hex(message) ~= ARGV[a] then break end
    redis.call('LMOVE', KEYS.source, KEYS.target, 'RIGHT', 'LEFT')
  end
  rename(ARGV[a + 1])
  moved = moved + 1
end
return moved
