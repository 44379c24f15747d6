-- The first positions whose records are of two times or later; the ends of the log where there is none.
local since, till = int(), int()
local first = since and position_at(since) or meta('trimmed') + 1
local last = till and position_at(till + 1) - 1 or meta('last')
return { num(first), num(last) }
