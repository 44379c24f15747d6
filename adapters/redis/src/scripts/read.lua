-- Returns up to `most` records behind a position; the texts of records of `origin` are left empty. Returns false if the
-- event at that position is not the one that the instance has read: the server came back with older data.
local position, event, most, origin = int(), arg(), arg(), arg()
local trimmed, last = meta('trimmed'), meta('last')
local record = event ~= '' and position > trimmed and record_at(position)
if event ~= '' and position > trimmed and (position > last or not record or record[1] ~= event) then return false end
local found = call('XRANGE', LOG, num(position + 1), '+', 'COUNT', most)
for i = 1, #found do
  local record = fields_of(found[i])
  found[i] = { string.match(found[i][1], '^%d+'), record[1], record[2], record[5] == origin and '' or record[6] }
end
return { num(last), num(trimmed), found }
