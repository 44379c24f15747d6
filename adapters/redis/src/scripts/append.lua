-- Appends records; says where the log ends, and which records were there before. One that this very call appended,
-- before its answer was lost, was not.
local token, origin = arg(), arg()
local last, time, bytes = meta('last'), meta('time'), meta('bytes')
local first, index, duplicates = last + 1, 0, {}
while argument < #ARGV do
  local id, name, version, at, text = arg(), arg(), arg(), int(), arg()
  local mark = ' ' .. token .. '.' .. index
  local known = call('HGET', IDS, id)
  if not known then
    last, time, bytes = last + 1, math.max(time, at), bytes + #text
    call('XADD', LOG, num(last) .. '-0', 'id', id, 'name', name, 'version', version, 'time', num(time),
      'origin', origin, 'text', text)
    call('HSET', IDS, id, num(last) .. mark)
  elseif string.sub(known, -#mark) ~= mark then
    duplicates[#duplicates + 1] = index
  end
  index = index + 1
end
if last >= first then
  call('HSET', META, 'last', num(last), 'time', num(time), 'bytes', num(bytes))
  call('PUBLISH', NEWS, num(last))
end
return { num(time), duplicates }
