#!lua flags=allow-oom
-- Write down what a worker says of itself, and forget those that have been silent for long; and sample the counts now
-- and then, whichever worker comes first.
--
-- KEYS: workers counts recent
-- ARGV.name         name of the worker
-- ARGV.report       what it says, JSON
-- ARGV.silence_ms   a worker that was silent for longer than this, in ms, is forgotten; '' to forget none
-- ARGV.sample_ms    ms between two samples at the least
-- ARGV.samples      samples to keep
-- ARGV.names…       counts to sample

local now = now_ms()

redis.call('HSET', KEYS.workers, ARGV.name, digits(now) .. ' ' .. ARGV.report)
if ARGV.silence_ms ~= '' then forget_silent(KEYS.workers, now, tonumber(ARGV.silence_ms)) end

local newest = redis.pcall('LINDEX', KEYS.recent, 0)
local sampled = type(newest) == 'string' and tonumber(string.match(newest, '^(%d+) ')) or 0
local is_ours = not (newest and newest.err) and tonumber(redis.pcall('HLEN', KEYS.counts))
if is_ours and (now - sampled >= tonumber(ARGV.sample_ms) or sampled > now) then
  local sample = {digits(now)}
  local values = redis.call('HMGET', KEYS.counts, unpack(ARGV, AT.names))
  for _, value in ipairs(values) do sample[#sample + 1] = value or '0' end
  redis.call('LPUSH', KEYS.recent, table.concat(sample, ' '))
  redis.call('LTRIM', KEYS.recent, 0, tonumber(ARGV.samples) - 1)
end
return redis.status_reply('OK')
