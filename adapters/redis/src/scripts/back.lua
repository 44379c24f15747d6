-- The records from one position back to another, up to a number of them, newest first; with a name, only the texts of
-- its records.
local first, last, most, only = arg(), arg(), arg(), arg()
local found = call('XREVRANGE', LOG, last .. '-0', first .. '-0', 'COUNT', most)
for i = 1, #found do
  local record = fields_of(found[i][2])
  local text = (only == '' or only == record[2]) and record[6] or ''
  found[i] = { string.match(found[i][1], '^%d+'), record[2], text }
end
return found
