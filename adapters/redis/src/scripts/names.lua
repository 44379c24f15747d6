-- Returns the last trimmed position, and positions and names of the records of an interval, or of the oldest ones.
local from, to, most = arg(), arg(), int()
local found = most and call('XRANGE', LOG, '-', '+', 'COUNT', most) or call('XRANGE', LOG, from, to)
for i = 1, #found do found[i] = { string.match(found[i][1], '^%d+'), fields_of(found[i])[2] } end
return { num(meta('trimmed')), found }
