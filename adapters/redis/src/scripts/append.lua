-- Appends records. Returns the times of those that got another one than they were sent with, the indexes of those whose
-- ids the log had already, and the stored records of these. A record that an earlier try of this call appended, whose
-- answer was lost, is not such a duplicate: `token` and index identify it.
--
-- Runs without `common.lua` and defines no functions, which cost more than its calls. ARGV: the id of the log, the token
-- of the call, the instance, and of each record its id, name, version, time, the offset of the time in the text, and the
-- text. If the offset is below zero, the time in the text stays.
local call = redis.call
local META, LOG, IDS = unpack(KEYS, 1, 3)
local of = call('HMGET', META, 'id', 'last', 'time', 'bytes', 'stamp')
if of[1] ~= ARGV[1] then return redis.error_reply('OTHERLOG the log is not the one that was opened') end
local token, origin = ' ' .. ARGV[2] .. '.', ARGV[3]
local last, time, bytes, stamp = tonumber(of[2]), tonumber(of[3]), tonumber(of[4]), of[5]
local before, time_text, count = last, of[3], (#ARGV - 3) / 6
local times, duplicates, stored, new, noted = {}, {}, {}, {}, {}
local known, newest, offset_of_newest = {}, nil, nil
for index = 0, count - 1 do
  local first = 4 + 6 * index
  local id, text = ARGV[first], ARGV[first + 5]
  -- `unpack` takes a few thousand values.
  if index % 1000 == 0 then
    local ids = {}
    for next = index, math.min(index + 999, count - 1) do ids[#ids + 1] = ARGV[4 + 6 * next] end
    known = call('HMGET', IDS, unpack(ids))
  end
  local found = new[id] or known[index % 1000 + 1]
  if not found then
    local at, offset = tonumber(ARGV[first + 3]), tonumber(ARGV[first + 4])
    -- Times never decrease along the log. Only the text of a record with a fixed time may hold an earlier one.
    if at > time then
      time, time_text = at, ARGV[first + 3]
      newest, offset_of_newest = text, math.abs(offset)
    else
      if newest then
        stamp = string.match(newest, '^[^"]*', offset_of_newest + 1)
        newest = nil
      end
      if at < time then
        times[#times + 1] = index
        times[#times + 1] = time_text
        if offset >= 0 then
          text = string.sub(text, 1, offset) .. stamp .. string.sub(text, (string.find(text, '"', offset + 1, true)))
        end
      end
    end
    last, bytes = last + 1, bytes + #text
    local position = string.format('%.0f', last)
    call('XADD', LOG, position .. '-0', 'id', id, 'name', ARGV[first + 1], 'version', ARGV[first + 2], 'time', time_text,
      'origin', origin, 'text', text)
    new[id] = position .. token .. index
    noted[#noted + 1] = id
    noted[#noted + 1] = new[id]
    if #noted == 2000 then
      call('HSET', IDS, unpack(noted))
      noted = {}
    end
  else
    local position = string.match(found, '^%d+') .. '-0'
    local entry = call('XRANGE', LOG, position, position)[1]
    if entry then
      times[#times + 1] = index
      times[#times + 1] = entry[2][8]
    end
    local mark = token .. index
    if string.sub(found, -#mark) ~= mark then
      duplicates[#duplicates + 1] = index
      stored[#stored + 1] = entry and entry[2][12] or ''
    end
  end
end
if last > before then
  if #noted > 0 then call('HSET', IDS, unpack(noted)) end
  if newest then stamp = string.match(newest, '^[^"]*', offset_of_newest + 1) end
  call('HSET', META, 'last', string.format('%.0f', last), 'time', time_text, 'stamp', stamp, 'bytes',
    string.format('%.0f', bytes))
  -- Wakes the instances. If the user may not publish, they still poll.
  redis.pcall('PUBLISH', string.sub(META, 1, -5) .. 'notify', '')
end
return { times, duplicates, stored }
