-- Returns what is needed to judge kinds: the kinds, the filters of live sessions, the union, and given-up patterns.
catch_up()
local kinds, filters = call('HGETALL', KINDS), {}
for session, member in pairs(members()) do
  if not member.ended then filters[#filters + 1] = { session, member.filter } end
end
local found, count = {}, 0
for i = 1, #kinds, 2 do
  if kinds[i] == 'count' then count = tonumber(kinds[i + 1])
  else found[#found + 1] = { tonumber(kinds[i + 1]), kinds[i] } end
end
return cjson.encode({
  number = head.patterns, count = count, kinds = #found > 0 and found or nil, filters = #filters > 0 and filters or nil,
  union = #head.union > 0 and head.union or nil, forgotten = head.forgotten,
})
