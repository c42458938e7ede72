-- Count the messages that workers have claimed by the queue they came from, without reading them out.
--
-- KEYS[1]  unacked (kombu's format)
-- ARGV[1]  cursor of the look before; 0 to begin
-- ARGV[2]  about how many to look at
--
-- Returns the next cursor, then queue and number of each.

local answer = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
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
