-- Returns the status of a consumer.
if head.removed then return refused('Removed') end
local of = call('HMGET', HEAD, 'dropped')
local finished = head.position
for _, key in ipairs({ OPEN, COPIES }) do
  local first = tonumber(call('ZRANGE', key, 0, 0)[1] or false)
  if first then finished = math.min(finished, first - 1) end
end
local held = call('HKEYS', HAND)
for _, position in ipairs(held) do finished = math.min(finished, tonumber(position) - 1) end
local filters, seen = {}, head.seen or 0
for session, member in pairs(members()) do
  local live = call('HGET', LIVE, session)
  if live then filters[#filters + 1] = { session, member.filter } end
  local ended = not live and call('HGET', ENDED, session)
  local time = live and string.match(live, '%d+$') or ended and string.match(ended, '%d+$')
  seen = math.max(seen, tonumber(time or 0))
end
local lanes, of_number = call('HGETALL', LANES), {}
local kinds = #lanes > 0 and call('HGETALL', KINDS) or {}
for i = 1, #kinds, 2 do of_number[kinds[i + 1]] = kinds[i] ~= 'count' and kinds[i] or of_number[kinds[i + 1]] end
local by_kind = {}
for i = 1, #lanes, 2 do by_kind[#by_kind + 1] = { of_number[lanes[i]], tonumber(lanes[i + 1]) } end
local rows, ahead = call('HLEN', ROWS), call('ZCARD', AHEAD)
return cjson.encode({
  name = head.name, patterns = #head.union > 0 and head.union or nil, position = finished,
  lag = store.last - head.position + rows - ahead + #held, in_progress = #held, waiting = rows,
  lanes = #by_kind > 0 and by_kind or nil, filters = #filters > 0 and filters or nil, dead = call('HLEN', DEAD),
  dropped = tonumber(of[1] or 0), paused = head.paused ~= nil, moving = head.move ~= nil, seen = num(seen),
})
