-- Returns the patterns of a consumer, and the number of records of each name behind its cursor. Returns false if there
-- are more than `most` of them, or no such consumer.
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
