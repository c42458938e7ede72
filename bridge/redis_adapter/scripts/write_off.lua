#!lua flags=allow-oom
-- Write events off: they leave the records of their messages, and are not looked for any more.
--
-- KEYS: open counts operations_log
-- ARGV.entries          entries that the log keeps
-- ARGV.who              who does it
-- ARGV.reason           why
-- ARGV.messages…        a message: its id in the accounting, number of events, their ids
--
-- Returns how many were written off. An event that has ended meanwhile is left alone. Without any message, what Redis
-- forgot when it was set back is written off.

insist('HLEN', KEYS.open, KEYS.counts)
redis.call('XREVRANGE', KEYS.operations_log, '+', '-', 'COUNT', 1)
local a, number = AT.messages, 0
while a <= #ARGV do
  local message, events = open_message(KEYS.open, ARGV[a]), tonumber(ARGV[a + 1])
  for i = a + 2, a + 1 + events do
    if message.take(ARGV[i]) then number = number + 1 end
  end
  message.save()
  a = a + 2 + events
end

if #ARGV < AT.messages then
  local set_back = whole(redis.call('HGET', KEYS.counts, 'set_back')) or 0
  -- What a worker had claimed meanwhile ended all the same, unaccounted for.
  local arrived = math.min(set_back, whole(redis.call('HGET', KEYS.counts, 'unbooked')) or 0)
  number = set_back - arrived
  count('set_back', -set_back)
  count('unbooked', -arrived)
end

if number > 0 then
  count('written_off', number)
  redis.call('XADD', KEYS.operations_log, 'MAXLEN', '~', ARGV.entries, '*', 'who', ARGV.who,
    'action', 'audit.write_off', 'selection', 'missing events',
    'numbers', '{"events":' .. number .. '}', 'reason', ARGV.reason)
end
write_counts(KEYS.counts)
return number
