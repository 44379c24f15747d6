-- Appends records, after `position.lua`. Returns the times of those that got another one than they were sent with, the
-- indexes of those whose ids the log had already, and the stored records of these.
--
-- ARGV: the id of the log; the instance; the number of its call, which all tries of a call share; the indexes of records
-- whose ids the log may have; and of each record its `head`, its time, the offset of the time in the text, and the text.
-- If the offset is below zero, the time in the text stays.
--
-- The last call of each instance is in `meta`, as number, first new position and time: `appended:<instance>`. A try of
-- an earlier call that comes late changes nothing.
local of = call('HMGET', META, 'id', 'last', 'time', 'bytes', 'stamp', 'appended:' .. ARGV[2])
if of[1] ~= ARGV[1] then return redis.error_reply('OTHERLOG the log is not the one that was opened') end
local number, count = tonumber(ARGV[3]), (#ARGV - 4) / 4
local times, duplicates, stored = {}, {}, {}

local function entry_at(position) return call('XRANGE', LOG, num(position), num(position))[1] end

local function add_duplicate(index, entry)
  duplicates[#duplicates + 1], stored[#stored + 1] = index, entry and entry[2][4] or ''
  if entry then
    times[#times + 1], times[#times + 2] = index, string.match(entry[1], '%d+$')
  end
end

local done, begin = string.match(of[6] or '0 0', '^(%d+) (%d+)')
if tonumber(done) > number then return redis.error_reply('LATE a later call of this instance was answered') end
if tonumber(done) == number then
  -- An earlier try has run, and its answer was lost. Its new records follow each other.
  local position, trimmed = tonumber(begin), tonumber(call('HGET', META, 'trimmed'))
  for index = 0, count - 1 do
    local id, entry = string.sub(ARGV[5 + 4 * index], 1, 36), entry_at(position)
    if position <= trimmed then
      position = position + 1
    elseif entry and string.sub(entry[2][2], 1, 36) == id then
      position = position + 1
      times[#times + 1], times[#times + 2] = index, string.match(entry[1], '%d+$')
    else
      local at = position_of(id)
      add_duplicate(index, at and entry_at(at))
    end
  end
  return { times, duplicates, stored }
end

local may_be_known
if ARGV[4] ~= '' then
  may_be_known = {}
  for index in string.gmatch(ARGV[4], '%d+') do may_be_known[tonumber(index)] = true end
end
local last, time, bytes, stamp = tonumber(of[2]), tonumber(of[3]), tonumber(of[4]), of[5]
local before, time_text, newest, offset_of_newest = last, of[3], nil, nil
for index = 0, count - 1 do
  local first, id, found = 5 + 4 * index, nil, nil
  if may_be_known and may_be_known[index] then
    id = string.sub(ARGV[first], 1, 36)
    found = position_of(id)
  end
  if found then
    add_duplicate(index, entry_at(found))
  else
    local at, offset, text = tonumber(ARGV[first + 1]), tonumber(ARGV[first + 2]), ARGV[first + 3]
    -- Times never decrease along the log. Only the text of a record with a fixed time may hold an earlier one.
    if at > time then
      time, time_text = at, ARGV[first + 1]
      newest, offset_of_newest = text, math.abs(offset)
    else
      if newest then
        stamp = string.match(newest, '^[^"]*', offset_of_newest + 1)
        newest = nil
      end
      if at < time then
        times[#times + 1], times[#times + 2] = index, time_text
        if offset >= 0 then
          text = string.sub(text, 1, offset) .. stamp .. string.sub(text, (string.find(text, '"', offset + 1, true)))
        end
        if time - at > NEAR then id = string.sub(ARGV[first], 1, 36) end
      end
    end
    last, bytes = last + 1, bytes + #text
    local position = num(last)
    call('XADD', LOG, position .. '-' .. time_text, 'head', ARGV[first], 'text', text)
    if id then call('HSET', IDS, id, position) end
  end
end
if newest then stamp = string.match(newest, '^[^"]*', offset_of_newest + 1) end
call('HSET', META, 'last', num(last), 'time', time_text, 'stamp', stamp, 'bytes', num(bytes), 'appended:' .. ARGV[2],
  ARGV[3] .. ' ' .. num(before + 1) .. ' ' .. time_text)
-- Wakes the instances. If the user may not publish, they still poll.
if last > before then redis.pcall('PUBLISH', string.sub(META, 1, -5) .. 'notify', '') end
return { times, duplicates, stored }
