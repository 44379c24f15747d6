-- Returns the first and the last position of an interval of times. Without a bound it ends where the log does.
local since, till = int(), int()
local first = since and position_at(since) or meta('trimmed') + 1
local last = till and position_at(till + 1) - 1 or meta('last')
return { num(first), num(last) }
