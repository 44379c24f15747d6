-- Returns position and name of an event. Returns false if the log does not have it.
local position = position_of(arg())
local record = position and record_at(position)
if not record then return false end
return { num(position), record[2] }
