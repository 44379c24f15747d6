-- Opens a consumer for a session, and creates it if it does not exist. The keys are those of the consumer `id`; if that
-- is not the consumer of the name, the answer is the id to call with.
local session = request.session
if call('HEXISTS', ENDED, session) == 1 then return refused('SessionEnded') end
local named = call('HGET', NAMES, request.consumer)
if named == 'removed' and request.again then return refused('Removed') end
local id = tonumber(named or false) or tonumber(call('HGET', META, 'consumers') or 0) + 1
if id ~= request.id then return cjson.encode({ other = id }) end

local created = not tonumber(named or false)
if created then
  local position = request.again or before(request.start.kind, request.start.value)
  call('HSET', META, 'consumers', id)
  call('HSET', NAMES, request.consumer, id)
  for field, value in pairs({ name = request.consumer, position = position, patterns = 0, deciding = 0, moves = 0 }) do
    set(field, value)
  end
  set('union', {})
  set('ends', store.ends)
  set('trimmed', store.trimmed)
else
  catch_up()
end
if store.incarnation == 0 then set_store('incarnation', 1, 'by', session) end
if not is_live(session) then
  call('HSET', LIVE, session, table.concat({ num(request.lease), num(store.heard), 0, num(now) }, ' '))
end
if store.raised_at then
  set_store('claims_from', math.max(store.claims_from, store.raised_at + request.lease))
end

-- The number of the session's set of settings: a new one where the set was not seen before.
local function settings_number()
  local all, last = head.settings or {}, 0
  for _, known in ipairs(all) do
    if known[3] == request.settings then return known[1] end
    last = math.max(last, known[1])
  end
  all[#all + 1] = { last + 1, request.order, request.settings }
  if #all > limits.settings then
    local used = { [head.deciding] = true }
    for _, member in pairs(members()) do used[member.settings] = true end
    for i, known in ipairs(all) do
      if not used[known[1]] and known[1] ~= last + 1 then
        table.remove(all, i)
        break
      end
    end
  end
  set('settings', all)
  return last + 1
end

local number = settings_number()
save_member(session, {
  filter = request.filter, patterns = request.patterns, attempts = request.attempts, backoff = request.backoff,
  settings = number,
})
call('HSET', CALLS, session .. ':s', number)
local known = {}
for _, pattern in ipairs(head.union) do known[pattern] = true end
for _, pattern in ipairs(request.patterns) do
  if not known[pattern] then head.union[#head.union + 1] = pattern end
  known[pattern] = true
  if head.forgotten then head.forgotten[pattern] = nil end
end
set('union', head.union)
if head.forgotten then set('forgotten', next(head.forgotten) and head.forgotten or nil) end
if not head.forgotten then set('forget', nil) end
set('patterns', head.patterns + 1)
decide()
note_time()
save_head()
-- Other sessions read the new patterns.
tell('consumers')
return cjson.encode({
  id = id, created = created, heard = num(store.heard), newest = store.last, terms = terms(),
  incarnation = { number = store.incarnation, by = store.by }, differs = settings_of(head.deciding)[3] ~= request.settings,
})
