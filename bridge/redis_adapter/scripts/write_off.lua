-- Write events off: they leave the records of their messages, and nobody looks for them any more.
--
-- KEYS[1]  open messages
-- KEYS[2]  counts
-- KEYS[3]  log of operations
-- ARGV[1]  entries that the log keeps
-- ARGV[2]  who does it
-- ARGV[3]  why
-- ARGV[4…] a message: its id in the books, number of events, their ids
--
-- Returns how many were written off. An event that has ended meanwhile is left alone. Without any message, what Redis
-- forgot when it was set back is written off.

local a, number = 4, 0
while a <= #ARGV do
  local message, events = open_message(KEYS[1], ARGV[a]), tonumber(ARGV[a + 1])
  for i = a + 2, a + 1 + events do
    if message.take(ARGV[i]) then number = number + 1 end
  end
  message.save()
  a = a + 2 + events
end

if #ARGV == 3 then
  local set_back = tonumber(redis.call('HGET', KEYS[2], 'set_back') or 0)
  -- What a worker had in its hands meanwhile ended all the same, out of nowhere.
  local arrived = math.min(set_back, tonumber(redis.call('HGET', KEYS[2], 'unbooked') or 0))
  number = set_back - arrived
  count('set_back', -set_back)
  count('unbooked', -arrived)
end

if number > 0 then
  count('written_off', number)
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[1], '*', 'who', ARGV[2], 'action', 'audit.write_off',
    'selection', 'missing events', 'numbers', '{"events":' .. number .. '}', 'reason', ARGV[3])
end
write_counts(KEYS[2])
return number
