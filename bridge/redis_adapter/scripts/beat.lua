#!lua flags=allow-oom
-- Write down what a worker says of itself, and forget those that have been silent for long; sample the counts now and
-- then, whichever worker comes first; and mend the counts that a stranger has made something else than a number.
--
-- KEYS: workers counts recent retry_records dead_letters
-- ARGV.name         name of the worker
-- ARGV.report       what it says, JSON
-- ARGV.silence_ms   a worker that was silent for longer than this, in ms, is forgotten; '' to forget none
-- ARGV.sample_ms    ms between two samples at the least
-- ARGV.samples      samples to keep
-- ARGV.names…       counts to sample
--
-- Returns the names of the counts that it mended.

local now = now_ms()

redis.call('HSET', KEYS.workers, ARGV.name, digits(now) .. ' ' .. ARGV.report)
if ARGV.silence_ms ~= '' then forget_silent(KEYS.workers, now, tonumber(ARGV.silence_ms)) end

-- Of the accounting each is computed from the others, so that what was not counted meanwhile is in it; the rest begins
-- anew, and so does all but the first where there are several. (What letters take is counted anew where they are buried.)
local SIGNS = {accepted = 1, unbooked = 1, stray = 1, published = -1, open = -1, duplicate = -1, skipped = -1,
  discarded = -1, dead_bundled = -1, dead_evicted = -1, written_off = -1, set_back = -1}
local OTHERS = {dead = 1, retried = 1, retry_full = 1, set_back_times = 1, set_back_seen = 1}

local function mend_counts()
  local counts, broken, sum = redis.call('HGETALL', KEYS.counts), {}, 0
  for i = 1, #counts, 2 do
    local name, number = counts[i], whole(counts[i + 1])
    local sign = SIGNS[name]
    if number and sign then sum = sum + sign * number end
    if not number and (sign or OTHERS[name]) then broken[#broken + 1] = name end
  end
  if #broken == 0 then return broken end
  sum = sum - redis.call('HLEN', KEYS.retry_records) - redis.call('HLEN', KEYS.dead_letters)
  for _, name in ipairs(broken) do
    local number = SIGNS[name] and math.max(0, -sum * SIGNS[name]) or 0
    redis.call('HSET', KEYS.counts, name, digits(number))
    sum = sum + number * (SIGNS[name] or 0)
  end
  return broken
end

local newest = redis.pcall('LINDEX', KEYS.recent, 0)
local sampled = type(newest) == 'string' and tonumber(string.match(newest, '^(%d+) ')) or 0
local is_ours = not (newest and newest.err) and tonumber(redis.pcall('HLEN', KEYS.counts))
local mended = is_ours and mend_counts() or {}
if is_ours and (now - sampled >= tonumber(ARGV.sample_ms) or sampled > now) then
  local sample = {digits(now)}
  local values = redis.call('HMGET', KEYS.counts, unpack(ARGV, AT.names))
  for _, value in ipairs(values) do sample[#sample + 1] = value or '0' end
  redis.call('LPUSH', KEYS.recent, table.concat(sample, ' '))
  redis.call('LTRIM', KEYS.recent, 0, tonumber(ARGV.samples) - 1)
end
return mended
