-- Put what stands on the priority lists of a queue onto its own list, each message in one step.
--
-- KEYS.queue        list of the queue
-- KEYS.priorities…  lists of its priorities, the one to serve first first
-- ARGV.most         messages at most
--
-- Returns how many were moved. They keep their order, and are put behind what waits there.

local moved, most = 0, tonumber(ARGV.most)
for k = AT.priorities, #KEYS do
  while moved < most and redis.call('LMOVE', KEYS[k], KEYS.queue, 'RIGHT', 'LEFT') do moved = moved + 1 end
end
return moved
