-- Applies the outcomes of a session's deliveries, and claims events for it.
if head.removed then return refused('Removed') end
local session, number, claim = request.session, request.number, request.claim
local member = member_of(session)
if not member then return refused('UnknownSession') end
local called = call('HMGET', CALLS, session, session .. ':h')
local last, held = tonumber(called[1] or 0), tonumber(called[2] or 0)

local function has(position, of)
  local text, token = call('HGET', HAND, position), session .. num(of)
  return text and string.sub(text, 1, #token) == token and string.find(text, '^[-=]', #token + 1) and text
end

-- Adds the copies of delivered records to the answer.
local function with_copies(answer, deliveries)
  local reply = { answer }
  for _, delivery in ipairs(deliveries) do
    if type(delivery) == 'table' and delivery.copy then
      local copy = call('HGET', COPY, delivery.position)
      reply[#reply + 1] = num(delivery.position)
      reply[#reply + 1] = copy and cmsgpack.unpack(copy)[6] or ''
    end
  end
  return reply
end

if number == last then
  local result = call('HGET', CALLS, session .. ':r')
  if not result then return refused('UnknownSession') end
  local done, kept = cjson.decode(result), {}
  for _, delivery in ipairs(done.deliveries or {}) do
    local position = type(delivery) == 'table' and delivery.position or delivery
    if has(position, number) and not is_taken_back(position) then kept[#kept + 1] = delivery end
  end
  done.deliveries = #kept > 0 and kept or nil
  return with_copies(cjson.encode(done), kept)
end
if number < last then return refused('OldNumber') end
if member.ended or not is_live(session) then return refused('SessionEnded') end
if request.last_answered > last or (claim and is_other(claim.window)) then return refused('Behind') end

catch_up()
local has_rows = call('EXISTS', LANES, DUE, SUSPECTS, QUIET, TOLD, BLOCKED) > 0
if has_rows then read_lanes() end
local may_claim_rows = claim and (request.named or request.reports or head.over or (has_rows and call('EXISTS', DUE, SUSPECTS, BLOCKED) > 0))
if (next(lanes) or head.forgotten or may_claim_rows) and not judge_for(session) then return JUDGE end
lose_trimmed()

local done = { claims = 'NotAsked' }
local function note(list, entry)
  done[list] = done[list] or {}
  done[list][#done[list] + 1] = entry
end

-- The session has the answers up to `last_answered`: what they told of is known there.
local function confirm()
  local told = call('HGETALL', TOLD)
  for i = 1, #told, 2 do
    local by, of = string.sub(told[i + 1], 1, 32), tonumber(string.sub(told[i + 1], 33))
    local own = by == session
    if own or not is_live(by) then
      call('HDEL', TOLD, told[i])
      if not own or of > request.last_answered then call('ZADD', QUIET, told[i], told[i]) end
    end
  end
end

-- Deliveries of the session that it did not name are due again. Those that it named and does not have are void.
local function recount(named)
  local is_named = {}
  for i = 1, #named, 2 do
    is_named[num(named[i]) .. ' ' .. num(named[i + 1])] = true
    if not has(named[i], named[i + 1]) or is_taken_back(named[i]) then note('void', { named[i], named[i + 1] }) end
  end
  local all = call('HGETALL', HAND)
  for i = 1, #all, 2 do
    if string.sub(all[i + 1], 1, 32) == session then
      local row = unpack_hand(all[i + 1])
      if not is_named[all[i] .. ' ' .. num(row.number)] then
        local position = tonumber(all[i])
        take_hand(position, row)
        reported(position, row, { outcome = 'GivenBack' })
      end
    end
  end
end

-- The events that the session has handled in its first attempts go by the hundred.
local function finish(list)
  if #list == 0 then return end
  local positions = {}
  for i = 1, #list, 2 do positions[#positions + 1] = list[i] end
  local found, gone, is_gone, keys = call('HMGET', HAND, unpack(positions)), {}, {}, {}
  for i, position in ipairs(positions) do
    local token, text = session .. num(list[2 * i]) .. '-', found[i]
    if text and string.sub(text, 1, #token) == token and not is_gone[position] and not is_taken_back(position) then
      local key = string.match(text, '^%d+ %-?%d+ (.*)$', #token + 1)
      gone[#gone + 1], is_gone[position] = position, true
      if key then keys[#keys + 1] = key end
    else
      local report = { position = position, session = session, number = list[2 * i], outcome = 'Done' }
      if is_gone[position] or apply_report(report) == 'late' then note('late', { position, session, list[2 * i] }) end
    end
  end
  if #gone > 0 then
    call('HDEL', HAND, unpack(gone))
    count_hand(session, -#gone)
  end
  if #keys > 0 then
    call('HDEL', BUSY, unpack(keys))
    if has_rows then
      for _, key in ipairs(keys) do unblock(key) end
    end
  end
end

local function gate()
  if done.recount then return 'Recount' end
  if store.heard < store.claims_from then return 'DataLost' end
  if head.move then return 'Moving' end
  if head.paused then return 'Paused' end
  local own, deciding = settings_of(member.settings), settings_of(head.deciding)
  if not own or own[2] ~= deciding[2] then return 'OtherOrder' end
  if claim.window.settings_number ~= head.deciding then return 'OldSettings' end
  if claim.window.patterns_number < head.patterns then return 'OldPatterns' end
  return 'Open'
end

if claim then
  local ordered = claim.window.keys and limits.claimed_in_order or limits.claimed
  claim.max = math.min(claim.max, ordered)
end
local deliveries = {}
-- The keys of new events that this call delivers: `busy` gets them at its end.
local taken = {}
local function deliver(position, row)
  take(position, row)
  local was_suspect, why = row.suspect, row.error
  row.attempts, row.session, row.number = row.attempts + 1, session, number
  put_hand(position, row)
  deliveries[#deliveries + 1] = {
    position = position, attempt = row.attempts, solo = row.solo, lost_lease = was_suspect or nil, error = why,
    copy = row.copy or nil,
  }
end

-- The lanes in which rows for this session may wait.
local own_lanes = { 0 }
-- How many rows a claim may look at.
local looks = CHUNK

-- Returns entries of an index that are due, of all lanes of the session.
local function due_of(index, most)
  local found = {}
  for _, lane in ipairs(own_lanes) do
    local prefix = string.format('%06d', lane)
    local entries = call('ZRANGEBYLEX', index, '[' .. prefix, '[' .. prefix .. string.format('%016.0f', now) .. '\255',
      'LIMIT', 0, most)
    for _, entry in ipairs(entries) do found[#found + 1] = entry end
    if #found >= most then break end
  end
  return found
end

-- Returns the row of an entry if the session may have it. Else the row gets out of the way.
local function candidate(entry)
  local position = position_in(entry)
  local row = waiting(position)
  looks = looks - 1
  if not row then return end
  if row.lane == 0 and not judged.own[row.kind] then
    take(position, row)
    row.lane = row.kind
    put(position, row)
    if row.key and not is_claimed(row.kind) then unblock(row.key) end
    done.tell = true
    return
  end
  if not row.copy and position <= store.trimmed then
    take(position, row)
    return lose(position, row)
  end
  if row.key and (taken[row.key] or is_busy(row.key, position)) then
    call('ZREM', row.suspect and SUSPECTS or DUE, entry)
    call('ZADD', BLOCKED, 0, blocked_member(row, position))
    return
  end
  return position, row
end

-- Suspects in their last attempt are delivered alone, to a bus with nothing in hand, and to one session at a time.
-- Returns true if the claim is over. Other suspects are candidates like all others.
local others = {}
local function claim_suspect()
  for _, entry in ipairs(due_of(SUSPECTS, 64)) do
    local position, row = candidate(entry)
    if position and row.attempts + 1 < member.attempts then others[#others + 1] = entry
    elseif position then
      done.wants_solo = true
      if claim.solo and claim.max > 0 and not head.solo then
        row.solo = true
        deliver(position, row)
        return true
      end
      return false
    end
  end
  return false
end

local found, next_found = {}, 1
local function claim_row()
  while looks > 0 do
    local entry = table.remove(others)
    if not entry then
      if next_found > #found then
        found, next_found = due_of(DUE, math.max(1, math.min(claim.max - #deliveries, looks))), 1
        if #found == 0 then return false end
      end
      entry = found[next_found]
      next_found = next_found + 1
    end
    local position, row = candidate(entry)
    if position then
      deliver(position, row)
      return true
    end
  end
  done.more = true
  return false
end

-- New events of the window: one call for all that are delivered, one for all that wait.
local function claim_new(rows)
  local window, hand, busy = claim.window, {}, {}
  local kinds, known_busy = {}, {}
  -- A report or a takeover of this call may have made rows.
  local has_order = has_rows or may_claim_rows
  if window.keys and next(window.keys) then
    local keys, at = {}, {}
    for index, key in ipairs(window.keys) do
      if key ~= cjson.null and #keys < 2 * claim.max then keys[#keys + 1], at[#at + 1] = key, index end
    end
    if #keys > 0 then
      for i, position in ipairs(call('HMGET', BUSY, unpack(keys))) do known_busy[keys[i]] = position and true or 0 end
    end
  end
  local looked = 0
  move_over(window, function(position, index, key)
    if rows and #deliveries < claim.max and index % 2 == 0 then rows = claim_row() end
    if #deliveries >= claim.max or looked >= CHUNK then
      done.more = true
      return false
    end
    looked = looked + 1
    local text = window.kinds[window.kind_of[index]]
    local kind = kind_number(text)
    local takes = window.takes == nil or window.takes[index] == 1
    local is_free = takes
    if takes and key then
      local known = known_busy[key]
      if known == true or taken[key] then is_free = false
      elseif known == 0 and not has_order then is_free = true
      else is_free = not is_busy(key, position) end
    end
    if is_free then
      local row = { kind = kind, lane = 0, attempts = 1, first = now, key = key, session = session, number = number }
      hand[#hand + 1] = position
      hand[#hand + 1] = pack_hand(row)
      if key then
        busy[#busy + 1] = key
        busy[#busy + 1] = position
        taken[key] = true
      end
      deliveries[#deliveries + 1] = position
    else
      has_order = true
      local row = { kind = kind, lane = takes and 0 or kind, attempts = 0, first = now, key = key, due = now }
      call('HSET', ROWS, position, pack_row(row))
      call('ZADD', OPEN, position, position)
      count_lane(row.lane, 1)
      if key then call('ZADD', ORDER, 0, order_member(row, position)) end
      if takes then call('ZADD', BLOCKED, 0, blocked_member(row, position)) else add_due(position, row) end
      done.tell = done.tell or not takes
    end
    return true
  end)
  if #hand > 0 then
    call('HSET', HAND, unpack(hand))
    count_hand(session, #hand / 2)
  end
  if #busy > 0 then call('HSET', BUSY, unpack(busy)) end
  return rows
end

local function claim_events()
  if head.solo then
    local row = in_hand(tonumber(head.solo))
    if row and row.session == session then return end
  end
  local rows = judged ~= nil
  if rows then
    for lane in pairs(lanes) do
      if judged.own[lane] then own_lanes[#own_lanes + 1] = lane end
    end
    if claim_suspect() then return end
  end
  if done.claims == 'Open' then
    if rows and #deliveries < claim.max then rows = claim_row() end
    rows = claim_new(rows)
  end
  while rows and #deliveries < claim.max do rows = claim_row() end
end

-- Returns the time until the first row of the session is due.
local function due_in()
  local first
  for _, index in ipairs({ DUE, SUSPECTS }) do
    for _, lane in ipairs(own_lanes) do
      local prefix = string.format('%06d', lane)
      local entry = call('ZRANGEBYLEX', index, '[' .. prefix, '[' .. prefix .. '\255', 'LIMIT', 0, 1)[1]
      local due = entry and tonumber(string.sub(entry, 7, 22))
      if due then first = math.min(first or due, due) end
    end
  end
  return first and math.max(first - now, 0)
end

local function announce()
  local most = LETTERS_AT_ONCE - call('HLEN', TOLD)
  local quiet = most > 0 and call('ZRANGE', QUIET, 0, most - 1) or {}
  for _, position in ipairs(quiet) do
    call('ZREM', QUIET, position)
    call('HSET', TOLD, position, session .. num(number))
    note('announced', tonumber(position))
  end
end

if has_rows then confirm() end
done.recount = (request.last_answered ~= last or request.in_hand ~= held) or nil
if request.named then
  recount(request.named)
  done.recount = nil
end
finish(request.done or {})
for _, report in ipairs(request.reports or {}) do
  local what = apply_report(report)
  done.reported = true
  if what == 'late' then note('late', { report.position, report.session, report.number })
  elseif what == 'dead' then note('dead', report.position) end
end
take_over()
give_up_forgotten()
sweep()
decide()
if claim then
  done.claims = gate()
  if done.claims == 'Open' or done.claims == 'OldPatterns' then claim_events() end
end
if head.over or head.forget or head.sweeps or head.waits_for or (head.trimmed or 0) ~= store.trimmed then done.more = true end
if has_rows or done.reported or unblocked then announce() end
if claim and (has_rows or done.reported or unblocked) then
  done.due_in = due_in()
  -- Rows that this call has made due are claimed by the next one, which gets a judgement.
  local is_open = done.claims == 'Open' or done.claims == 'OldPatterns'
  if done.due_in == 0 and is_open and (#deliveries > 0 or not judged) then done.more = true end
end
if done.tell then tell('consumers') end
done.rows = (has_rows or done.reported or unblocked) and true or nil
done.tell, done.reported = nil, nil
if head.lost or lost > 0 then
  done.lost, lost = lost + (head.lost or 0), 0
  set('lost', nil)
end
done.moving = head.move and true or nil
done.deliveries = #deliveries > 0 and deliveries or nil
done.terms = terms()
local answer = cjson.encode(done)
save_head()
save_dropped()
local delta = hands[session] or 0
hands[session] = nil
save_hands()
call('HSET', CALLS, session, number, session .. ':h', held + delta, session .. ':r', answer)
note_time()
return with_copies(answer, deliveries)
