-- Returns the name of an event and, for each consumer, its patterns, whether its cursor is before the event, and
-- whether the event is pending for it. Returns false if the log does not have the event.
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
