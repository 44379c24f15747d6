-- Stores the outcomes of finished events, takes new events, and claims some.
local token, instance, again, claim_token = int(), arg(), arg() == '1', arg()
local now, lease, most, look, most_pending = int(), int(), int(), int(), int()
if call('EXISTS', CONSUMER) == 0 then return false end

local done = { token = token, claim_token = claim_token, claimed = {}, late = {}, lost = 0 }

local function lose(position, row)
  done.lost = done.lost + 1
  drop(position, row, now)
end

local function dead_letter(position, row, why, attempts)
  local record = stored(position)
  if not record then return lose(position, row) end
  local letter = { record = record, error = why, attempts = attempts, first = num(row.first), last = num(now) }
  call('HSET', DEAD, member(position), cmsgpack.pack(letter))
  call('ZADD', LETTERS, num(position), member(position))
  drop(position, row, now)
end

-- The outcomes of a claimed event. Each has up to two values.
local became = {
  done = function(position, row) drop(position, row, now) end,
  retry = function(position, row, at, why)
    row.error = why
    place(position, row, 'due', tonumber(at))
  end,
  dead = function(position, row, attempts, why) dead_letter(position, row, why, tonumber(attempts)) end,
  returned = function(position, row)
    row.attempts = row.attempts - 1
    place(position, row, 'due', now)
  end,
  hold = function(position, row, kind)
    leave_order(position, row, now)
    row.attempts, row.kind, row.key = row.attempts - 1, kind, false
    place(position, row, 'held')
  end,
}

local finished = {}
for i = 1, int() do finished[i] = { int(), int(), arg(), arg(), arg(), arg() } end

local function finish()
  for _, report in ipairs(finished) do
    local position, attempt, of, what, first, second = unpack(report)
    local row = find(position)
    if row and row.state == 'leased' and row.token == of then
      became[what](position, row, first, second)
    else
      done.late[#done.late + 1] = { num(position), attempt, of }
    end
  end
end

-- Makes held events due whose kinds this program knows.
local function release()
  for _ = 1, int() do
    local kind = arg()
    for _, position in ipairs(call('ZRANGE', HELD, 0, -1)) do
      local row = find(tonumber(position))
      if row.kind == kind then place(tonumber(position), row, 'due', now) end
    end
    call('HDEL', KINDS, kind)
  end
end

local function hand_out(position, row, is_known)
  local lost_lease = row.state == 'leased'
  row.attempts, row.token = row.attempts + 1, claim_token
  place(position, row, 'leased', now + lease)
  done.claimed[#done.claimed + 1] = { position, row.attempts, row.error or '', is_known, lost_lease and 1 or 0 }
end

-- Claims events that are due, and those whose lease has expired.
local function hand_out_due()
  local due = {}
  for _, set in ipairs({ DUE, LEASES }) do
    local found = call('ZRANGEBYSCORE', set, '-inf', num(now), 'WITHSCORES', 'LIMIT', 0, num(most))
    for i = 1, #found, 2 do due[#due + 1] = { tonumber(found[i + 1]), tonumber(found[i]) } end
  end
  table.sort(due, function(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end)
  for i = 1, math.min(#due, most) do
    local position = due[i][2]
    local row = find(position)
    if stored(position) then hand_out(position, row) else lose(position, row) end
  end
end

-- Takes the records that the instance has found behind the cursor, unless another instance has moved the cursor since.
local function take()
  local expected, cursor, count = arg(), arg(), int()
  done.taken = call('HGET', CONSUMER, 'cursor') == expected
  if not done.taken then return end
  for _ = 1, count do
    local position, what, value = int(), arg(), arg()
    local row = { attempts = 0, first = now, key = what == 'ordered' and value or false }
    if find(position) then
      -- A replayed dead letter that is ahead of the cursor after a seek: it is pending already.
    elseif what == 'hold' then
      row.kind = value
      add(position, row)
      place(position, row, 'held')
    elseif row.key and first_of(row.key) then
      add(position, row)
      place(position, row, 'behind')
    else
      add(position, row)
      if #done.claimed < most then hand_out(position, row, true) else place(position, row, 'due', now) end
    end
  end
  call('HSET', CONSUMER, 'cursor', cursor)
end

local function perform()
  finish()
  release()
  local of = call('HMGET', CONSUMER, 'paused', 'seen')
  local is_paused, is_closed = of[1] ~= '0', tonumber(of[2] or 0) <= 0
  -- If another program that had the consumer open has stopped, this one notes that it has not, even if it is paused.
  if most > 0 and (is_closed or not is_paused) then call('HSET', CONSUMER, 'seen', num(now)) end
  if most > 0 and not is_paused then
    hand_out_due()
    local cursor, trimmed = tonumber(call('HGET', CONSUMER, 'cursor')), meta('trimmed')
    if cursor < trimmed then
      done.lost = done.lost + trimmed - cursor
      call('HSET', CONSUMER, 'cursor', num(trimmed))
    end
    take()
  end
  if #done.claimed >= most and call('ZCOUNT', DUE, '-inf', num(now)) > 0 then tell() end
end

local function is_overfull(cursor)
  local first = call('ZRANGE', OPEN, 0, 0)[1]
  if not first or cursor - tonumber(first) < most_pending then return false end
  return call('HLEN', PENDING) >= most_pending
end

-- Returns the records behind the cursor, for the instance to decide on. None if nothing more can be claimed.
local function ahead(cursor)
  local free = #done.claimed < most and call('HGET', CONSUMER, 'paused') == '0'
  if done.taken or not free or is_overfull(cursor) then return {} end
  local found = call('XRANGE', LOG, num(cursor + 1) .. '-0', '+', 'COUNT', look)
  for i = 1, #found do
    local record = fields_of(found[i][2])
    found[i] = { string.match(found[i][1], '^%d+'), record[2], tonumber(record[3]), record[6] }
  end
  return found
end

-- Returns the next time at which an event is due or a lease expires.
local function next_due()
  local next = false
  for _, set in ipairs({ DUE, LEASES }) do
    local found = call('ZRANGEBYSCORE', set, '(' .. num(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
    if found and (not next or tonumber(found) < next) then next = tonumber(found) end
  end
  return next and num(next)
end

local answered = call('GET', ANSWER .. instance)
answered = answered and cmsgpack.unpack(answered)
if again and answered and answered.token == token then
  done = answered
elseif answered and answered.token >= token then
  -- This call was abandoned and arrives after a later one. Its answer would reach nobody, so it must not claim events.
  return redis.error_reply('LATE a later call of this instance was applied before')
else
  again = false
  perform()
  call('SET', ANSWER .. instance, cmsgpack.pack(done), 'EX', 600)
end

local claimed = {}
for i, claim in ipairs(done.claimed) do
  -- The instance has the records it found itself, unless this answer is repeated.
  local record = (again or not claim[4]) and stored(claim[1]) or {}
  claimed[i] = {
    num(claim[1]), claim[2], done.claim_token, claim[3], claim[5], record[2] or '', tonumber(record[3] or 0),
    record[6] or '',
  }
end
local cursor = tonumber(call('HGET', CONSUMER, 'cursor'))
return {
  claimed, done.late, num(done.lost), done.taken and 1 or 0, num(cursor), ahead(cursor), next_due(),
  num(meta('last')), call('HKEYS', KINDS), tonumber(call('HGET', CONSUMER, 'paused')), is_overfull(cursor) and 1 or 0,
  again and 1 or 0,
}
