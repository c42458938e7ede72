#!lua flags=no-writes
-- Read several things in one moment. It only reads, so that a full Redis runs it, too, which refuses all in a MULTI.
--
-- KEYS.keys…      what is read
-- ARGV.commands…  one a command, in MessagePack: its words
--
-- Returns one answer a command.

local answers = {}
for at, command in ipairs(ARGV) do answers[at] = redis.call(unpack(cmsgpack.unpack(command))) end
return answers
