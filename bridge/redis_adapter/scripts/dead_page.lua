-- Read dead letters in the order of their burial, from a cursor that stays valid while letters come and go.
--
-- KEYS[1]  index: sorted set, letter id → when it was buried, in ms
-- KEYS[2]  letters: hash, letter id → letter
-- KEYS[3]  heads: hash, letter id → what a search looks at
-- ARGV[1]  'new' for newest first, 'old' for oldest first
-- ARGV[2]  cursor: ms of the letter after which to go on; '' to begin
-- ARGV[3]  cursor: its id
-- ARGV[4]  earliest burial in ms
-- ARGV[5]  latest burial in ms
-- ARGV[6]  letters to look at, at the most
-- ARGV[7]  letters to return, at the most
-- ARGV[8]  'head' or 'whole': what to return of each letter
-- ARGV[9…] conditions on the head, all of which must hold: number of words, and the words, one of which must occur
--
-- Returns: 1 if there is more to look at, the new cursor (ms, id), then id, ms and text of each letter.

local newest_first, at, after = ARGV[1] == 'new', ARGV[2], ARGV[3]
local earliest, latest = tonumber(ARGV[4]), tonumber(ARGV[5])
local look, take, heads = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8] == 'head'

local conditions, a = {}, 9
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
  rank = newest_first and redis.call('ZCOUNT', KEYS[1], '(' .. ARGV[5], '+inf')
    or redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. ARGV[4])
else
  local score = redis.call('ZSCORE', KEYS[1], after)
  if score and tonumber(score) == tonumber(at) then
    rank = redis.call(newest_first and 'ZREVRANK' or 'ZRANK', KEYS[1], after) + 1
  else
    -- The letter is gone or was buried again: go on at its old place.
    rank = newest_first and redis.call('ZCOUNT', KEYS[1], '(' .. at, '+inf')
      or redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. at)
  end
end

local arguments = {'ZRANGE', KEYS[1], rank, rank + look - 1}
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
    local head = redis.call('HGET', KEYS[3], id) or ''
    local found = holds(head) and (heads and head or redis.call('HGET', KEYS[2], id))
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
