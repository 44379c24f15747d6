-- Appends records. Returns their times, the indexes of those whose ids the log had already, and the stored records. A record that an earlier try
-- of this call appended, whose answer was lost, is not such a duplicate: `token` and index identify it.
local token, origin = arg(), arg()
local last, time, bytes, stamp = meta('last'), meta('time'), meta('bytes'), call('HGET', META, 'stamp')
local first, index, times, duplicates, stored = last + 1, 0, {}, {}, {}
while argument < #ARGV do
  local id, name, version, at, text_of_time, is_fixed, before, behind =
    arg(), arg(), arg(), int(), arg(), arg() == '1', arg(), arg()
  local mark = ' ' .. token .. '.' .. index
  local known = call('HGET', IDS, id)
  if not known then
    -- Times never decrease along the log. Only the text of a record with a fixed time may hold an earlier one.
    if at > time then time, stamp = at, text_of_time end
    local text = before .. (is_fixed and text_of_time or stamp) .. behind
    last, bytes = last + 1, bytes + #text
    call('XADD', LOG, num(last) .. '-0', 'id', id, 'name', name, 'version', version, 'time', num(time),
      'origin', origin, 'text', text)
    call('HSET', IDS, id, num(last) .. mark)
    times[index + 1] = num(time)
  else
    local record = record_at(tonumber(string.match(known, '^%d+')))
    times[index + 1] = record and record[4] or num(at)
    if string.sub(known, -#mark) ~= mark then
      duplicates[#duplicates + 1] = index
      stored[#stored + 1] = record and record[6] or ''
    end
  end
  index = index + 1
end
if last >= first then
  call('HSET', META, 'last', num(last), 'time', num(time), 'stamp', stamp, 'bytes', num(bytes))
  tell()
end
return { times, duplicates, stored }
