-- The books, put in front of every script that moves an event in them.
--
-- Every accepted event is a token. A token is in exactly one place: in the record of its message on the way (open),
-- in the retry set, in the dead letters, or it is counted under how it ended. A script moves it in one step with
-- what it does; so whatever dies in between, `accepted + unbooked + stray` is the sum of all places.
-- A token that should be somewhere and is not comes out of nowhere. If its event is published, it is unbooked. If it
-- fails, it is a stray: of a message that two workers ran at once, one may fail after the other has ended it. What
-- the stray is shows when it ends: published before, it was that second run, and there was no such token.

local tally = {}

local function count(name, number)
  tally[name] = (tally[name] or 0) + (number or 1)
end

local function write_counts(key)
  for name, number in pairs(tally) do
    if number ~= 0 then redis.call('HINCRBY', key, name, number) end
  end
end

local function raw_id(text)
  return (string.gsub(string.gsub(text, '-', ''), '%x%x', function(hex) return string.char(tonumber(hex, 16)) end))
end

-- The tokens of one message on its way; read once, written back by save().
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
    -- Of waiting retries and replayed letters there is no message, and ids are dear to read.
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

-- `place` is 'retry' or 'dead': an event may be in both.
local function add_stray(key, place, event_id)
  if redis.call('SADD', key, place .. ':' .. event_id) == 1 then count('stray') end
end

-- Returns whether there was one.
local function end_stray(key, place, event_id)
  if redis.call('SREM', key, place .. ':' .. event_id) == 0 then return false end
  count('stray', -1)
  return true
end

