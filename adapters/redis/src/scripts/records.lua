-- Returns position, name, version and text of the records at some positions. A position without a record has none.
local found = {}
for i = 2, #ARGV do
  local record = record_at(tonumber(ARGV[i]))
  if record then
    found[#found + 1] = { ARGV[i], record[2], tonumber(record[3]), record[6] }
  end
end
return found
