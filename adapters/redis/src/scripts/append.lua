-- Appends records. Returns the times of those that got another one than they were sent with, the indexes of those whose
-- ids the log had already, the stored records of these, and the position before the new records.
--
-- ARGV: the id of the log; the instance; the number of its call, with 16 digits, which all tries of the call share; the
-- indexes of records whose ids the log may have; 1 to notify the other instances, or 0; and of each record its `head`, its
-- time, the offset of the time in the text, and the text. If the offset is below zero, the time in the text stays.
--
-- The last call of each instance is in `meta`, as number, first new position and time: `appended:<instance>`. A try of
-- an earlier call that comes late changes nothing.
--
-- Most calls define no functions, because those cost as much as several commands.
local call, args = redis.call, ARGV
local META, LOG, IDS = KEYS[1], KEYS[2], KEYS[3]
local lane, number = 'appended:' .. args[2], args[3]
local of = call('HMGET', META, 'id', 'last', 'time', 'bytes', 'stamp', lane)
if of[1] ~= args[1] then return redis.error_reply('OTHERLOG the log is not the one that was opened') end
local times, duplicates, stored = {}, {}, {}

-- For the index of each record whose id the log may have: its position, or false.
local known, add_duplicate
local done = of[6]
if args[4] ~= '' or done and done >= number then
  --[[position]]
  local function entry_at(position) return call('XRANGE', LOG, num(position), num(position))[1] end
  add_duplicate = function(index, position)
    local entry = position and entry_at(position)
    duplicates[#duplicates + 1], stored[#stored + 1] = index, entry and entry[2][4] or ''
    if entry then
      times[#times + 1], times[#times + 2] = index, string.match(entry[1], '%d+$')
    end
  end
  if done and done >= number then
    if string.sub(done, 1, #number) ~= number then
      return redis.error_reply('LATE a later call of this instance was answered')
    end
    -- An earlier try has run, and its answer was lost. Its new records follow each other.
    local before = string.match(done, '^%d+ (%d+)') - 1
    local position, trimmed = before + 1, tonumber(call('HGET', META, 'trimmed'))
    for index = 0, (#args - 5) / 4 - 1 do
      local id, entry = string.sub(args[6 + 4 * index], 1, 36), entry_at(position)
      local is_new = entry and string.sub(entry[2][2], 1, 36) == id
      if is_new then
        times[#times + 1], times[#times + 2] = index, string.match(entry[1], '%d+$')
      end
      if is_new or position <= trimmed then position = position + 1
      else add_duplicate(index, position_of(id)) end
    end
    return { times, duplicates, stored, before }
  end
  known = {}
  for index in string.gmatch(args[4], '%d+') do
    known[tonumber(index)] = position_of(string.sub(args[6 + 4 * index], 1, 36)) or false
  end
end

local last, time, bytes, time_text, stamp = of[2] + 0, of[3] + 0, of[4] + 0, of[3], of[5]
local before, newest, new, id, found = last, nil, nil, nil, nil
for first = 6, #args, 4 do
  if known then
    local index = (first - 6) / 4
    found, id, new = known[index], nil, new or {}
    if found ~= nil then
      id = string.sub(args[first], 1, 36)
      found = found or new[id]
      if found then add_duplicate(index, found) end
    end
  end
  if not found then
    local at, text = args[first + 1] + 0, args[first + 3]
    -- Times never decrease along the log. Only the text of a record with a fixed time may hold an earlier one.
    if at > time then
      time, time_text, newest = at, args[first + 1], first
    elseif at < time then
      if newest then
        stamp = string.match(args[newest + 3], '^[^"]*', math.abs(args[newest + 2]) + 1)
        newest = nil
      end
      times[#times + 1], times[#times + 2] = (first - 6) / 4, time_text
      local offset = args[first + 2] + 0
      if offset >= 0 then
        text = string.sub(text, 1, offset) .. stamp .. string.sub(text, (string.find(text, '"', offset + 1, true)))
      end
      -- See NEAR in `position.lua`.
      if time - at > 25000 then id = string.sub(args[first], 1, 36) end
    end
    last, bytes = last + 1, bytes + #text
    call('XADD', LOG, last .. '-' .. time_text, 'head', args[first], 'text', text)
    if id then
      call('HSET', IDS, id, last)
      if new then new[id] = last end
      id = nil
    end
  end
end
if newest then stamp = string.match(args[newest + 3], '^[^"]*', math.abs(args[newest + 2]) + 1) end
call('HSET', META, 'last', last, 'time', time_text, 'stamp', stamp, 'bytes', bytes, lane,
  number .. ' ' .. before + 1 .. ' ' .. time_text)
-- If the user may not publish, the other instances still poll.
if args[5] == '1' and last > before then redis.pcall('PUBLISH', string.sub(META, 1, -5) .. 'notify', args[2]) end
return { times, duplicates, stored, before }
