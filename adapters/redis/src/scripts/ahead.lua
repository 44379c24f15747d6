-- The patterns of a consumer, and how many records of each name stand behind what it has looked at; nothing where they are
-- more than a number.
local most = int()
local of = call('HMGET', CONSUMER, 'patterns', 'cursor')
if not of[2] or meta('last') - tonumber(of[2]) > most then return false end
local counts, found = {}, {}
for _, entry in ipairs(call('XRANGE', LOG, num(tonumber(of[2]) + 1) .. '-0', '+')) do
  local record = fields_of(entry[2])
  counts[record[2]] = (counts[record[2]] or 0) + 1
end
for event, count in pairs(counts) do found[#found + 1] = { event, count } end
return { of[1], found }
