-- What several scripts do alike. A script is sent behind the blocks that it names, itself or by one of them:
-- a function is made anew in each run, so what a script does not need must cost it nothing.
--
-- In a script, KEYS.name and ARGV.name stand for the places at which its header lists the names, and AT.name for the
-- number of the place where a list of any length begins, which the header marks with … What a key under `KEYS:` holds,
-- keyspace.py says.

-- Redis time in ms: workers' clocks may be wrong, and differ.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Lua by itself writes large numbers as 1.7e+12.
local function digits(number)
  return string.format('%.0f', number)
end

-- A whole number; nothing for what is none, as a stranger may have written it, or is too large to be told exactly.
local function whole(text)
  local found = text and string.match(text, '^%-?(%d+)$')
  return found and #found <= 14 and tonumber(text)
end

-- What the record of an open message begins with.
local function accepted_at()
  return string.format('%013.0f ', now_ms())
end

-- Positions: `<ms>-<seq>`, one order for all streams. Nothing for what is none, as a stranger may have written it.
local function split_position(position)
  local ms, seq = string.match(position, '^(%d+)-(%d+)$')
  if ms and #ms <= 16 then return tonumber(ms), tonumber(seq) end
end

-- Also where one of them is no position: then nothing before can be vouched for.
local function is_after(position, other)
  local ms, seq = split_position(position)
  local other_ms, other_seq = split_position(other)
  if not (ms and other_ms) then return true end
  return ms > other_ms or (ms == other_ms and seq > other_seq)
end

-- What is noted of a class of retention, as keyspace.py says. Nothing for what is no such note.
local function class_of(note)
  local life_s, tip, broadcast_tip, rest = string.match(note, '^(%d+) (%d+%-%d+) (%d+%-%d+)(.*)$')
  if not life_s then return nil end
  local shorter_s, of_shorter = string.match(rest, '^ (%d+) (%d+%-%d+)$')
  if rest ~= '' and not (shorter_s and split_position(of_shorter)) then return nil end
  return {
    life_s = tonumber(life_s),
    tip = tip,
    broadcast_tip = broadcast_tip,
    shorter_s = tonumber(shorter_s),
    of_shorter = of_shorter
  }
end

-- The newest position handed out. In an empty Redis the order begins with this reading: a reader that is told '0-0'
-- could not be told later what it missed. A full Redis refuses that; reading goes on all the same.
local function newest_position(position_key, began_key, now)
  local newest = redis.call('GET', position_key)
  if newest and split_position(newest) then return newest end
  newest = digits(now) .. '-0'
  local began = redis.pcall('SET', began_key, newest)
  if began.err or redis.pcall('SET', position_key, newest).err then return '0-0' end
  return newest
end

-- From here on no earlier position can be vouched for: whoever reads on from one is told so.
local function begin_anew(position_key, began_key)
  local ms, newest = now_ms(), redis.pcall('GET', position_key)
  local last_ms = type(newest) == 'string' and tonumber(string.match(newest, '^(%d+)-'))
  if last_ms and last_ms >= ms then ms = last_ms + 1 end
  local position = string.format('%.0f-0', ms)
  redis.call('SET', began_key, position)
  redis.call('SET', position_key, position)
end

-- Processes that were killed never say good-bye. Each field of this hash holds `<ms> …`, when it was last written.
local function forget_silent(key, now, silence_ms)
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    local at = tonumber(string.match(all[i + 1], '^(%d+) '))
    if not at or now - at > silence_ms then redis.call('HDEL', key, all[i]) end
  end
end

-- Redis undoes nothing of a script that fails half-way. So what somebody else keeps under a name of ours must fail it
-- before it writes: a script reads first, by commands that refuse the wrong type of key.
local function insist(command, ...)
  for _, key in ipairs({...}) do redis.call(command, key) end
end

-- What is of no account may be lost where its key is of the wrong type, or the number that is to grow is none any more;
-- whoever watches the keys tells of it. Returns nothing then. Any other refusal ends the script: a replica must not pass
-- for a server that has nothing.
local STRANGE = {'WRONGTYPE', 'hash value is not an integer', 'would overflow'}

local function spare(...)
  local answer = redis.pcall(...)
  if type(answer) ~= 'table' or not answer.err then return answer end
  for _, words in ipairs(STRANGE) do
    if string.find(answer.err, words, 1, true) then return nil end
  end
  error(answer)
end

-- The accounting.
--
-- Every accepted event is in exactly one place: in the record of its message on the way (open), in the retry set, in
-- the dead letters, or it is counted under how it ended. A script moves it in one step with what it does; so whatever
-- dies in between, `accepted + unbooked + stray` is the sum of all places.
-- An event that should be somewhere and is not is unaccounted for. If it is published, it is unbooked. If it fails,
-- it is a late failure (wire name: stray): two workers ran one message, and one failed after the other had ended it. What it
-- is shows when it ends: published before, it was that second run, and there was no such event.

-- Counted in memory first: one HINCRBY a name, however many events a script moves.
local tally = {}

local function count(name, number)
  tally[name] = (tally[name] or 0) + (number or 1)
end

-- A count of which a stranger made text stops no event: the next beat of a worker computes it from the others.
local function write_counts(counts_key)
  for name, number in pairs(tally) do
    if number ~= 0 then spare('HINCRBY', counts_key, name, number) end
  end
end

-- What one letter counted as before, and how many events it is now: a message that was not announced counted as one,
-- and one that ended in part as more than are left.
local function count_anew(before, events)
  if events > before then
    count('accepted', events - before)
  else
    count('duplicate', before - events)
  end
end

local function raw_id(text)
  return (string.gsub(string.gsub(text, '-', ''), '%x%x', function(hex) return string.char(tonumber(hex, 16)) end))
end

-- The events of one message on its way; read once, written back by save().
local function open_message(key, message_id)
  local record = message_id ~= '' and redis.call('HGET', key, message_id)
  local ids_after = record and string.find(record, '\n', 1, true)
  local waiting, order, taken = {}, {}, 0
  if ids_after then
    for at = ids_after + 1, #record, 16 do
      local id = string.sub(record, at, at + 15)
      order[#order + 1] = id
      waiting[id] = (waiting[id] or 0) + 1
    end
  end
  local message = {}

  function message.has(event_id)
    return (waiting[raw_id(event_id)] or 0) > 0
  end

  function message.take(event_id)
    -- Of waiting retries and redriven letters there is no message, and ids are dear to read.
    if #order == 0 then return false end
    local id = raw_id(event_id)
    if (waiting[id] or 0) == 0 then return false end
    waiting[id] = waiting[id] - 1
    taken = taken + 1
    return true
  end

  function message.take_all()
    local rest = #order - taken
    waiting, taken = {}, #order
    return rest
  end

  function message.save()
    if taken == 0 then return end
    count('open', -taken)
    if taken == #order then
      redis.call('HDEL', key, message_id)
      return
    end
    local left = {string.sub(record, 1, ids_after)}
    for _, id in ipairs(order) do
      if (waiting[id] or 0) > 0 then
        waiting[id] = waiting[id] - 1
        left[#left + 1] = id
      end
    end
    redis.call('HSET', key, message_id, table.concat(left))
  end

  return message
end

-- Returns whether the event was waiting.
local function take_retry(due_key, records_key, event_id)
  redis.call('ZREM', due_key, event_id)
  return redis.call('HDEL', records_key, event_id) == 1
end

-- The only way in which letters are deleted: what they took is not held any more. Returns how many there were.
local function delete_letters(letters_key, ids)
  local bytes = 0
  for _, id in ipairs(ids) do bytes = bytes + redis.call('HSTRLEN', letters_key, id) end
  count('dead_bytes', -bytes)
  return redis.call('HDEL', letters_key, unpack(ids))
end

-- Returns whether there was such a letter.
local function take_letter(index_key, letters_key, heads_key, id)
  redis.call('ZREM', index_key, id)
  redis.call('HDEL', heads_key, id)
  return delete_letters(letters_key, {id}) == 1
end

-- Bury a letter, or write it anew. Returns whether it is a new one.
local function put_letter(index_key, letters_key, heads_key, at, id, letter, head)
  local is_new = delete_letters(letters_key, {id}) == 0
  redis.call('HSET', letters_key, id, letter)
  redis.call('HSET', heads_key, id, head)
  redis.call('ZADD', index_key, at, id)
  count('dead_bytes', #letter)
  return is_new
end

-- Returns how many events a letter stands for that is taken out for good: one that holds a whole message, all of them.
local function take_weight(weights_key, id)
  local weight = whole(redis.call('HGET', weights_key, id)) or 1
  if weight > 1 then
    redis.call('HDEL', weights_key, id)
    count('dead_bundled', 1 - weight)
  end
  return weight
end

-- `place` is 'retry' or 'dead': an event may be in both.
local function add_stray(strays_key, place, event_id)
  if redis.call('SADD', strays_key, place .. ':' .. event_id) == 1 then count('stray') end
end

-- Returns whether there was one.
local function end_stray(strays_key, place, event_id)
  if redis.call('SREM', strays_key, place .. ':' .. event_id) == 0 then return false end
  count('stray', -1)
  return true
end

-- Returns whether the event was waiting, and not as a late failure.
local function take_accounted_retry(due_key, records_key, strays_key, event_id)
  return take_retry(due_key, records_key, event_id) and not end_stray(strays_key, 'retry', event_id)
end
