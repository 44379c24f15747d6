-- The records behind a position, up to a number of them; of those of one origin, only that they are there.
local position, most, origin = int(), arg(), arg()
local found = call('XRANGE', LOG, num(position + 1) .. '-0', '+', 'COUNT', most)
for i = 1, #found do
  local record = fields_of(found[i][2])
  found[i] = { string.match(found[i][1], '^%d+'), record[5] == origin and '' or record[6] }
end
return { num(meta('last')), num(meta('trimmed')), found }
