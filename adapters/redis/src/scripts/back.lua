-- Returns up to `most` records from position `last` back to `first`, newest first. If `only` is a name, the texts of
-- other records are left empty.
local first, last, most, only = arg(), arg(), arg(), arg()
local found = call('XREVRANGE', LOG, last, first, 'COUNT', most)
for i = 1, #found do
  local record = fields_of(found[i])
  local text = (only == '' or only == record[2]) and record[6] or ''
  found[i] = { string.match(found[i][1], '^%d+'), record[2], text }
end
return found
