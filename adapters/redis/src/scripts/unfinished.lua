-- Of an event: its position and name, and of each consumer how far it is, and whether it has the event.
local id = arg()
local known = call('HGET', IDS, id)
local position = known and tonumber(string.match(known, '^%d+'))
local record = position and record_at(position)
if not record then return false end
local consumers = call('SMEMBERS', CONSUMERS)
for i, name in ipairs(consumers) do
  local of = call('HMGET', prefix .. ':consumer:' .. name, 'patterns', 'cursor')
  local pending = call('HEXISTS', prefix .. ':pending:' .. name, member(position))
  local ahead = tonumber(of[2]) < position and 1 or 0
  consumers[i] = { name, of[1], ahead, pending }
end
return { record[2], consumers }
