-- Enter a message into the books that its producer did not announce; once, however often it is delivered.
--
-- KEYS[1]  open messages
-- KEYS[2]  counts
-- KEYS[3]  mark that this message is in the books
-- ARGV[1]  id of the message
-- ARGV[2]  what follows the time in its record
-- ARGV[3]  events in it
-- ARGV[4]  life of the mark in s

if not redis.call('SET', KEYS[3], '1', 'NX', 'EX', ARGV[4]) then return 0 end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if redis.call('HSETNX', KEYS[1], ARGV[1], string.format('%013.0f', now) .. ' ' .. ARGV[2]) == 0 then return 0 end
redis.call('HINCRBY', KEYS[2], 'accepted', ARGV[3])
redis.call('HINCRBY', KEYS[2], 'open', ARGV[3])
return 1
