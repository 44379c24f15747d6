-- Returns the records of an interval of positions, until their texts have `most` bytes: at least one record, none if
-- the interval is empty. It is one call, because the log may be trimmed between two.
local from, to, most = int(), math.min(int(), meta('last')), int()
local found, bytes = {}, 0
while from <= to and bytes <= most do
  local entries = call('XRANGE', LOG, num(from) .. '-0', num(to) .. '-0', 'COUNT', 100)
  if #entries == 0 then break end
  for i = 1, #entries do
    local record = fields_of(entries[i][2])
    local position = string.match(entries[i][1], '^%d+')
    found[#found + 1] = { position, record[2], tonumber(record[3]), record[6] }
    bytes, from = bytes + #record[6], tonumber(position) + 1
    if bytes > most then break end
  end
end
return { ARGV[1], num(meta('trimmed')), num(meta('last')), found }
