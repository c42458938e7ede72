-- Count the messages that workers have claimed by the queue they came from, without reading them out.
--
-- KEYS.unacked   unacked (kombu's format)
-- ARGV.cursor    cursor of the look before; 0 to begin
-- ARGV.about     about how many to look at
--
-- Returns the next cursor, then queue and number of each.

local answer = redis.call('HSCAN', KEYS.unacked, ARGV.cursor, 'COUNT', ARGV.about)
local numbers, result = {}, {answer[1]}
for i = 2, #answer[2], 2 do
  local queue = string.match(string.sub(answer[2][i], -1000), '"([^"]*)"%]$')
  if queue then numbers[queue] = (numbers[queue] or 0) + 1 end
end
for queue, number in pairs(numbers) do
  result[#result + 1] = queue
  result[#result + 1] = number
end
return result
