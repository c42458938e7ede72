#!lua flags=no-writes
-- Count waiting retries by their task and queue, without reading them out.
--
-- KEYS: retry_due retry_records
-- ARGV.start           how many of the next due to pass over
-- ARGV.most            how many to look at, at most
--
-- Returns how many were looked at, then task, queue and number of each kind.

local ids = redis.call('ZRANGE', KEYS.retry_due, ARGV.start, ARGV.start + ARGV.most - 1)
local numbers, order = {}, {}
for _, id in ipairs(ids) do
  -- The record begins with these three, as `RetryRecord` lists them; task and queue are names without quotes.
  local head = string.sub(redis.call('HGET', KEYS.retry_records, id) or '', 1, 1500)
  local task, queue = string.match(head, '"task":"([^"]*)","queue":"([^"]*)"')
  if task then
    local kind = task .. '\n' .. queue
    if not numbers[kind] then order[#order + 1] = kind end
    numbers[kind] = (numbers[kind] or 0) + 1
  end
end

local answer = {#ids}
for _, kind in ipairs(order) do
  local task, queue = string.match(kind, '^(.*)\n(.*)$')
  answer[#answer + 1] = task
  answer[#answer + 1] = queue
  answer[#answer + 1] = numbers[kind]
end
return answer
