-- Returns position and name of an event. Returns false if the log does not have it.
local known = call('HGET', IDS, arg())
local position = known and tonumber(string.match(known, '^%d+'))
local record = position and record_at(position)
if not record then return false end
return { num(position), record[2] }
