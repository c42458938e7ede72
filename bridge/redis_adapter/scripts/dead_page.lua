#!lua flags=no-writes
-- Read dead letters in the order of their burial, from a cursor that stays valid while letters come and go.
--
-- KEYS: dead_index dead_letters dead_heads
-- ARGV.order          'new' for newest first, 'old' for oldest first
-- ARGV.at             cursor: ms of the letter after which to go on; '' to begin
-- ARGV.after          cursor: its id
-- ARGV.earliest       earliest burial in ms
-- ARGV.latest         latest burial in ms
-- ARGV.look           letters to look at, at most
-- ARGV.take           letters to return, at most
-- ARGV.what           'head' or 'whole': what to return of each letter
-- ARGV.conditions…    conditions on the head, all of which must hold: number of words, and the words, one of which must
--                      occur
--
-- Returns: 1 if there is more to look at, the new cursor (ms, id), then id, ms and text of each letter.

local newest_first, at, after = ARGV.order == 'new', ARGV.at, ARGV.after
local earliest, latest = tonumber(ARGV.earliest), tonumber(ARGV.latest)
local look, take, heads = tonumber(ARGV.look), tonumber(ARGV.take), ARGV.what == 'head'

local conditions, a = {}, AT.conditions
while a <= #ARGV do
  local words = {}
  for i = a + 1, a + tonumber(ARGV[a]) do words[#words + 1] = ARGV[i] end
  conditions[#conditions + 1] = words
  a = a + tonumber(ARGV[a]) + 1
end

local function holds(head)
  for _, words in ipairs(conditions) do
    local found = false
    for _, word in ipairs(words) do
      if string.find(head, word, 1, true) then
        found = true
        break
      end
    end
    if not found then return false end
  end
  return true
end

local rank
if at == '' then
  rank = newest_first and redis.call('ZCOUNT', KEYS.dead_index, '(' .. ARGV.latest, '+inf')
    or redis.call('ZCOUNT', KEYS.dead_index, '-inf', '(' .. ARGV.earliest)
else
  local score = redis.call('ZSCORE', KEYS.dead_index, after)
  if score and tonumber(score) == tonumber(at) then
    rank = redis.call(newest_first and 'ZREVRANK' or 'ZRANK', KEYS.dead_index, after) + 1
  else
    -- The letter is gone or was dead-lettered again: go on at its old place.
    rank = newest_first and redis.call('ZCOUNT', KEYS.dead_index, '(' .. at, '+inf')
      or redis.call('ZCOUNT', KEYS.dead_index, '-inf', '(' .. at)
  end
end

local arguments = {'ZRANGE', KEYS.dead_index, rank, rank + look - 1}
if newest_first then arguments[#arguments + 1] = 'REV' end
arguments[#arguments + 1] = 'WITHSCORES'
local entries = redis.call(unpack(arguments))

local function is_past(id, score)
  if at == '' or tonumber(score) ~= tonumber(at) then return false end
  if newest_first then return id >= after end
  return id <= after
end

local answer, more, taken = {0, at, after}, #entries == 2 * look, 0
for i = 1, #entries, 2 do
  local id, score = entries[i], entries[i + 1]
  if (newest_first and tonumber(score) < earliest) or (not newest_first and tonumber(score) > latest) then
    more = false
    break
  end
  if taken == take then
    more = true
    break
  end
  if not is_past(id, score) then
    local head = redis.call('HGET', KEYS.dead_heads, id) or ''
    local found = holds(head) and (heads and head or redis.call('HGET', KEYS.dead_letters, id))
    if found then
      answer[#answer + 1] = id
      answer[#answer + 1] = score
      answer[#answer + 1] = found
      taken = taken + 1
    end
  end
  answer[2], answer[3] = score, id
end
answer[1] = more and 1 or 0
return answer
