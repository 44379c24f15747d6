-- Stores a judgement of the kinds: which of them each live session takes, which any of them takes (`claimed`), which
-- the union takes (`union`), and which of the others become dead letters (`keep`).
if request.number ~= head.patterns then return '{}' end
local before = call('HGET', JUDGED, 'any')
before = before and cjson.decode(before)
local was_claimed, is_claimed_now = {}, {}
for _, kind in ipairs(before and before.claimed or {}) do was_claimed[kind] = true end
for _, kind in ipairs(request.claimed or {}) do is_claimed_now[kind] = true end
call('DEL', JUDGED)
local list = { 'any', request.any }
for session, takes in pairs(request.sessions or {}) do
  list[#list + 1] = session
  list[#list + 1] = takes
end
call('HSET', JUDGED, unpack(list))
-- Rows that wait behind those of a kind that no live session takes any more have to be unblocked.
local sweeps = head.sweeps or {}
for _, lane in ipairs(call('HKEYS', LANES)) do
  local kind = tonumber(lane)
  if not is_claimed_now[kind] and (not before or kind > before.kinds or was_claimed[kind]) then sweeps[lane] = '' end
end
set('sweeps', next(sweeps) and sweeps or nil)
save_head()
return '{}'
