-- Put what stands on the priority lists of a queue onto its own list, each message in one step.
--
-- KEYS[1]  list of the queue
-- KEYS[2…] lists of its priorities, the one to serve first first
-- ARGV[1]  messages at the most
--
-- Returns how many were moved. They keep their order, and are put behind what waits there.

local moved, most = 0, tonumber(ARGV[1])
for k = 2, #KEYS do
  while moved < most and redis.call('LMOVE', KEYS[k], KEYS[1], 'RIGHT', 'LEFT') do moved = moved + 1 end
end
return moved
