-- Move messages to another queue, each in one step with what the books say of it.
--
-- KEYS[1]  open messages; where the books are on another server than the queues, this script runs on both, with
--          an empty key on the broker's
-- KEYS[2]  queue; left out on the server of the books alone
-- KEYS[3]  other queue
-- ARGV[1]  name of the other queue, as the books call it
-- ARGV[2…] two a message, the one that is served next first: SHA-1 of it, and its id in the books, '' if unknown
--
-- Returns how many were moved: a message that somebody took meanwhile ends it.

local moved = 0

local function rename(id)
  local record = id ~= '' and KEYS[1] ~= '' and redis.call('HGET', KEYS[1], id)
  local before, after = string.match(record or '', '^(%d+ %S+ )%S+(\n.*)$')
  if before then redis.call('HSET', KEYS[1], id, before .. ARGV[1] .. after) end
end

for a = 2, #ARGV, 2 do
  if KEYS[2] then
    local message = redis.call('LINDEX', KEYS[2], -1)
    if not message or redis.sha1hex(message) ~= ARGV[a] then break end
    redis.call('LMOVE', KEYS[2], KEYS[3], 'RIGHT', 'LEFT')
  end
  rename(ARGV[a + 1])
  moved = moved + 1
end
return moved
