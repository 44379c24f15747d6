-- The start of all scripts on one consumer, after `store.lua`. Each consumer has these keys:
--
--   head     hash   its fields, listed in HEAD_FIELDS; `dropped`; `present`: the settings that decide
--   members  hash   session -> what it has registered, as JSON
--   calls    hash   session -> number of its last exchange; session:h -> its deliveries in hand; session:r -> result;
--                   session:s -> number of its settings; session:w -> id of the newest event of its last window
--   hand     hash   position -> row of an event in hand, see `pack_hand`
--   rows     hash   position -> row of a waiting event, see `pack_row`
--   open     sorted positions of `rows` without a copy of the record
--   copies   sorted positions of `rows` and `hand` with a copy
--   copy     hash   position -> the record, if the log may not have it
--   ahead    sorted positions of `rows` after the position of the consumer, which a seek has left
--   due      sorted `rows` that may be claimed: lane, due time, position
--   suspects sorted of these, those whose session ended in their last attempt
--   order    sorted `rows` with a key: key, lane, position
--   blocked  sorted `rows` that wait for an earlier event of their key: key, position
--   busy     hash   key -> position of the event in hand
--   kinds    hash   version and name -> number; `count`
--   lanes    hash   number of a kind -> number of `rows` in its lane
--   judged   hash   session -> the kinds that it takes; `any` -> what all live sessions take; see `judge.lua`
--   dead     hash   position -> dead letter
--   letters  sorted positions of `dead`
--   events   hash   id of an event -> position of its dead letter
--   quiet    sorted dead letters that no report made and no session was told of
--   told     hash   position -> session and number of the exchange that told of a dead letter
--
-- A row is in lane 0, or, after a session that does not take it has met it, in the lane of its kind. So rows that no
-- live session takes are never looked at.
local HEAD_FIELDS = {
  'name', 'removed', 'position', 'patterns', 'union', 'deciding', 'settings', 'moves', 'move', 'paused', 'ends',
  'decided', 'undecided', 'solo', 'sweeps', 'forgotten', 'forget', 'over', 'ahead', 'trimmed', 'waits_for', 'dropping',
  'lost', 'seen',
}
local NUMBERS = {
  position = true, patterns = true, deciding = true, moves = true, ends = true, decided = true, forget = true,
  trimmed = true, lost = true, seen = true,
}
local JSON = { union = true, settings = true, move = true, sweeps = true, forgotten = true, over = true, waits_for = true }
-- The number that sorts after each position.
local MAX = 9007199254740991

local head, changed = {}, {}
for i, value in ipairs(call('HMGET', HEAD, unpack(HEAD_FIELDS))) do
  local field = HEAD_FIELDS[i]
  if not value then head[field] = nil
  elseif NUMBERS[field] then head[field] = tonumber(value)
  elseif JSON[field] then head[field] = cjson.decode(value)
  else head[field] = value end
end

-- Changes a field of the consumer; nil removes it. `save_head` stores the changes.
local function set(field, value)
  head[field] = value
  changed[field] = true
end

local function save_head()
  local list, gone = {}, {}
  if changed.deciding or changed.settings then
    for _, known in ipairs(head.settings or {}) do
      if known[1] == head.deciding then list = { 'present', known[3] } end
    end
  end
  for field in pairs(changed) do
    local value = head[field]
    if value == nil then gone[#gone + 1] = field
    else
      if NUMBERS[field] then value = num(value) elseif JSON[field] then value = next(value) == nil and '[]' or cjson.encode(value) end
      list[#list + 1] = field
      list[#list + 1] = value
    end
  end
  if #list > 0 then call('HSET', HEAD, unpack(list)) end
  if #gone > 0 then call('HDEL', HEAD, unpack(gone)) end
  changed = {}
end

-- How many events the consumer has left unfinished by this call, and how many of them because their records are gone. An
-- exchange tells its session of those that were lost since the last one.
local dropped, lost = 0, 0
local function save_dropped()
  if dropped > 0 then call('HINCRBY', HEAD, 'dropped', dropped) end
  if lost > 0 then call('HINCRBY', HEAD, 'lost', lost) end
end

local function members()
  local all, found = call('HGETALL', MEMBERS), {}
  for i = 1, #all, 2 do found[all[i]] = cjson.decode(all[i + 1]) end
  return found
end
local function save_member(session, member) call('HSET', MEMBERS, session, cjson.encode(member)) end

local known_members = {}
local function member_of(session)
  if known_members[session] == nil then
    local found = call('HGET', MEMBERS, session)
    known_members[session] = found and cjson.decode(found) or false
  end
  return known_members[session]
end

-- Notes the sessions that ended since the consumer's last call, and forgets those whose ends the store has forgotten.
local function catch_up()
  if (head.ends or 0) == store.ends then return end
  local over = head.over or {}
  for session, member in pairs(members()) do
    if not member.ended and not is_live(session) then
      member.ended = true
      local ended = call('HGET', ENDED, session)
      set('seen', math.max(head.seen or 0, tonumber(ended and string.match(ended, '%d+$') or 0)))
      save_member(session, member)
      over[#over + 1] = session
      set('patterns', head.patterns + 1)
    elseif member.ended and call('HEXISTS', ENDED, session) == 0 then
      local in_hand = call('HGET', CALLS, session .. ':h')
      if not in_hand or in_hand == '0' then
        call('HDEL', MEMBERS, session)
        call('HDEL', CALLS, session, session .. ':h', session .. ':r', session .. ':s', session .. ':w')
      end
    end
  end
  set('over', #over > 0 and over or nil)
  set('ends', store.ends)
  save_head()
end

-- What sessions take. Only Rust matches patterns: it judges each kind by the filters of the live sessions and by the
-- union, and stores the judgement with the numbers that it holds for. A script that needs a newer one answers
-- `judge` before its first write, and is called again.
local judged
local function judge_for(session)
  local found = call('HMGET', JUDGED, 'any', session or '')
  local any = found[1] and cjson.decode(found[1])
  local count = tonumber(call('HGET', KINDS, 'count') or 0)
  if not any or any.number ~= head.patterns or any.kinds ~= count then return false end
  local function set_of(list)
    local found = {}
    for _, kind in ipairs(list or {}) do found[kind] = true end
    return found
  end
  judged = {
    kinds = count, claimed = set_of(any.claimed), union = set_of(any.union), keep = set_of(any.keep),
    own = set_of(found[2] and cjson.decode(found[2])),
  }
  return true
end
local JUDGE = '!' .. cjson.encode({ refused = 'judge' })

-- Whether a live session may take a kind. A kind that was first seen by this call is not judged yet.
local function is_claimed(kind) return not judged or kind > judged.kinds or judged.claimed[kind] end

local kind_numbers = {}
local function kind_number(text)
  local known = kind_numbers[text]
  if not known then
    known = tonumber(call('HGET', KINDS, text) or false)
    if not known then
      known = call('HINCRBY', KINDS, 'count', 1)
      call('HSET', KINDS, text, known)
    end
    kind_numbers[text] = known
  end
  return known
end

-- A row has the fields kind, lane, attempts, first (time of the first attempt), key, copy (whether there is one),
-- suspect, error; waiting: due; in hand, or suspect: session and number of its delivery; in hand: solo.
local function pack_row(row)
  return cmsgpack.pack({
    row.kind, row.lane, row.attempts, row.first, row.key or false, row.copy or false, row.suspect or false,
    row.error or false, row.due, row.session or false, row.number or false,
  })
end
local function unpack_row(text)
  local of = cmsgpack.unpack(text)
  return {
    kind = of[1], lane = of[2], attempts = of[3], first = of[4], key = of[5] or nil, copy = of[6], suspect = of[7],
    error = of[8] or nil, due = of[9], session = of[10] or nil, number = of[11] or nil,
  }
end

-- In hand: session and number, then `-`, kind, first and key of an event in its first attempt, or `=` and the rest.
local function pack_hand(row)
  local token = row.session .. num(row.number)
  if row.attempts > 1 or row.lane ~= 0 or row.copy or row.suspect or row.solo or row.error then
    return token .. '=' .. cmsgpack.pack({
      row.kind, row.lane, row.attempts, row.first, row.key or false, row.copy or false, row.suspect or false,
      row.error or false, row.solo or false,
    })
  end
  return token .. '-' .. row.kind .. ' ' .. num(row.first) .. (row.key and ' ' .. row.key or '')
end
local function unpack_hand(text)
  local session = string.sub(text, 1, 32)
  local number, form, rest = string.match(text, '^(%d+)([-=])(.*)$', 33)
  number = tonumber(number)
  if form == '-' then
    local kind, first, space, key = string.match(rest, '^(%d+) (%-?%d+)( ?)(.*)$')
    return {
      session = session, number = number, kind = tonumber(kind), lane = 0, attempts = 1, first = tonumber(first),
      key = space == ' ' and key or nil,
    }
  end
  local of = cmsgpack.unpack(rest)
  return {
    session = session, number = number, kind = of[1], lane = of[2], attempts = of[3], first = of[4],
    key = of[5] or nil, copy = of[6], suspect = of[7], error = of[8] or nil, solo = of[9],
  }
end

local function in_hand(position)
  local text = call('HGET', HAND, position)
  return text and unpack_hand(text)
end
local function waiting(position)
  local text = call('HGET', ROWS, position)
  return text and unpack_row(text)
end

local function tag(key) return #key .. ':' .. key .. ':' end
local function order_member(row, position)
  return tag(row.key) .. string.format('%06d%016.0f', row.lane, position)
end
local function blocked_member(row, position) return tag(row.key) .. member(position) end
local function due_member(row, position)
  return string.format('%06d%016.0f%016.0f', row.lane, math.max(row.due, 0), position)
end
local function position_in(entry) return tonumber(string.sub(entry, -16)) end

-- How many deliveries the sessions have got or lost by this call.
local hands = {}
local function count_hand(session, by) hands[session] = (hands[session] or 0) + by end

-- The lanes with rows besides lane 0.
local lanes = {}
local function read_lanes()
  lanes = {}
  for _, lane in ipairs(call('HKEYS', LANES)) do lanes[tonumber(lane)] = true end
end
local function count_lane(lane, by)
  if lane == 0 then return end
  lanes[lane] = true
  if call('HINCRBY', LANES, lane, by) == 0 then
    call('HDEL', LANES, lane)
    lanes[lane] = nil
  end
end

-- Adds a waiting row to those that may be claimed.
local function add_due(position, row)
  call('ZADD', row.suspect and SUSPECTS or DUE, 0, due_member(row, position))
end

-- Unblocks the first row of a key that a live session takes, if it is before `below`. Unblocking is always safe: a row
-- is looked at again before it is claimed.
local unblocked = false
local function unblock(key, below)
  local from, to = '[' .. tag(key), '[' .. tag(key) .. '\255'
  for _ = 1, CHUNK do
    local entry = call('ZRANGEBYLEX', BLOCKED, from, to, 'LIMIT', 0, 1)[1]
    local position = entry and position_in(entry)
    if not entry or (below and position >= below) then return end
    local row = waiting(position)
    call('ZREM', BLOCKED, entry)
    add_due(position, row)
    unblocked = true
    if row.lane == 0 or is_claimed(row.lane) then return end
  end
  local keys = head.waits_for or {}
  keys[#keys + 1] = key
  set('waits_for', keys)
end

-- Whether the row of a key at a position has to wait for an earlier event, or for one in hand.
local function is_busy(key, position)
  if call('HEXISTS', BUSY, key) == 1 then return true end
  local function is_before(lane)
    local from = tag(key) .. string.format('%06d', lane)
    local entry = call('ZRANGEBYLEX', ORDER, '[' .. from, '[' .. from .. '\255', 'LIMIT', 0, 1)[1]
    return entry and position_in(entry) < position
  end
  if is_before(0) then return true end
  for lane in pairs(lanes) do
    if is_claimed(lane) and is_before(lane) then return true end
  end
  return false
end

-- Stores a waiting row. It may be claimed once it is due, unless a seek left it after the position of the consumer.
local function put(position, row)
  row.solo = nil
  call('HSET', ROWS, position, pack_row(row))
  call('ZADD', row.copy and COPIES or OPEN, num(position), num(position))
  count_lane(row.lane, 1)
  if head.forgotten and judged and row.kind <= judged.kinds and not judged.union[row.kind] then
    set('forget', math.min(head.forget or position, position))
  end
  if position > head.position then
    call('ZADD', AHEAD, num(position), num(position))
    if not head.ahead then set('ahead', '1') end
    return
  end
  if row.key then call('ZADD', ORDER, 0, order_member(row, position)) end
  add_due(position, row)
end

-- Lets a row that a seek has left be claimed: the position of the consumer moves over it.
local function activate(position)
  local row = waiting(position)
  call('ZREM', AHEAD, num(position))
  if row.key then call('ZADD', ORDER, 0, order_member(row, position)) end
  add_due(position, row)
end

-- Removes a waiting row. Its copy stays.
local function take(position, row)
  call('HDEL', ROWS, position)
  call('ZREM', row.copy and COPIES or OPEN, num(position))
  count_lane(row.lane, -1)
  if head.ahead and call('ZREM', AHEAD, num(position)) == 1 then return end
  if row.key then
    call('ZREM', ORDER, order_member(row, position))
    if call('ZREM', BLOCKED, blocked_member(row, position)) == 1 then return end
  end
  call('ZREM', row.suspect and SUSPECTS or DUE, due_member(row, position))
end

local function take_hand(position, row)
  call('HDEL', HAND, position)
  count_hand(row.session, -1)
  if row.key then call('HDEL', BUSY, row.key) end
  if row.copy then call('ZREM', COPIES, num(position)) end
  if row.solo then set('solo', nil) end
end

local function put_hand(position, row)
  call('HSET', HAND, position, pack_hand(row))
  count_hand(row.session, 1)
  if row.key then call('HSET', BUSY, row.key, position) end
  if row.copy then call('ZADD', COPIES, num(position), num(position)) end
  if row.solo then set('solo', num(position)) end
end

local function has_record(position, row) return row.copy or (position > store.trimmed and position <= store.last) end
local function stored_record(position, row)
  local copy = row.copy and call('HGET', COPY, position)
  if copy then return cmsgpack.unpack(copy) end
  return position > store.trimmed and record_at(position) or nil
end
local function forget_copy(position, row) if row.copy then call('HDEL', COPY, position) end end

-- The event is finished or given up. Its row is removed already.
local function leave(position, row)
  forget_copy(position, row)
  if row.key then unblock(row.key) end
end

local function give_up(position, row)
  dropped = dropped + 1
  leave(position, row)
end

-- The record of the event is gone.
local function lose(position, row)
  lost = lost + 1
  give_up(position, row)
end

-- The row, which is removed already, waits for its next attempt; a suspect keeps its delivery.
local function wait_again(position, row)
  if not has_record(position, row) then return lose(position, row) end
  if not row.suspect then row.session, row.number = nil, nil end
  put(position, row)
  if row.key then unblock(row.key, row.lane ~= 0 and not is_claimed(row.lane) and MAX or position) end
end

-- The row, which is removed already, becomes a dead letter.
local function die(position, row, cause)
  local record = stored_record(position, row)
  if not record then
    lose(position, row)
    return false
  end
  local letter = {
    record = record, kind = row.kind, key = row.key, error = row.error or '', attempts = row.attempts,
    first = num(row.first), last = num(now), cause = cause,
  }
  if cause == 'lost' then letter.session, letter.number = row.session, row.number end
  call('HSET', DEAD, position, cmsgpack.pack(letter))
  call('ZADD', LETTERS, num(position), num(position))
  call('HSET', EVENTS, record[1], position)
  if cause == 'lost' or cause == 'forgotten' then call('ZADD', QUIET, num(position), num(position)) end
  leave(position, row)
  return true
end

local function letter_at(position)
  local text = call('HGET', DEAD, position)
  return text and cmsgpack.unpack(text)
end

local function bury(position, letter)
  call('HDEL', DEAD, position)
  call('ZREM', LETTERS, num(position))
  call('HDEL', EVENTS, letter.record[1])
  call('ZREM', QUIET, num(position))
  call('HDEL', TOLD, position)
end

-- Makes a dead letter, which is removed already, wait again from the start with its copy.
local function wait_with_copy(position, letter)
  call('HSET', COPY, position, cmsgpack.pack(letter.record))
  put(position, { kind = letter.kind, lane = 0, attempts = 0, first = now, key = letter.key, copy = true, due = now })
end

-- Whether a seek back has taken the event from the session that has it: its report is late.
local function is_taken_back(position)
  local move = head.move
  return move and move.kind == 'back' and move.from <= position and position <= move.to
end

-- The sets of settings: number, order and all of it as JSON.
local function settings_of(number)
  for _, set in ipairs(head.settings or {}) do
    if set[1] == number then return set end
  end
end

-- The last position at which the consumer has anything.
local function last_position()
  local last = 0
  for _, key in ipairs({ OPEN, COPIES, LETTERS }) do
    local found = call('ZREVRANGE', key, 0, 0)[1]
    last = math.max(last, tonumber(found or 0))
  end
  for _, position in ipairs(call('HKEYS', HAND)) do last = math.max(last, tonumber(position)) end
  return last
end

-- Among the sets of live sessions, the one with the highest number decides. A set with another order waits until the
-- sessions with the present one have ended and nothing is in hand.
local function decide()
  if head.move or (head.decided == head.patterns and not head.undecided) then return end
  set('decided', head.patterns)
  set('undecided', nil)
  local present, same, highest = settings_of(head.deciding), nil, nil
  for _, member in pairs(members()) do
    if not member.ended then
      local number = member.settings
      if present and settings_of(number)[2] == present[2] then same = math.max(same or 0, number) end
      highest = math.max(highest or 0, number)
    end
  end
  if not highest then return end
  if same or not present then set('deciding', same or highest)
  elseif call('HLEN', HAND) > 0 then set('undecided', '1')
  else
    set('move', { kind = 'order', number = highest, phase = 'rows', next = 0, to = last_position() })
    set('moves', head.moves + 1)
  end
end

local function terms()
  local deciding = settings_of(head.deciding)
  return {
    position = head.position, patterns_number = head.patterns, union = #head.union > 0 and head.union or nil,
    settings_number = head.deciding, settings = deciding and cjson.decode(deciding[3]), moves = head.moves,
  }
end

local function save_hands()
  for session, by in pairs(hands) do
    if by ~= 0 then call('HINCRBY', CALLS, session .. ':h', by) end
  end
  hands = {}
end

-- The table of transitions. An operation returns `late`, `dropped` or `dead`, or nothing.
local function reported(position, row, report, member)
  local outcome = report.outcome
  if outcome == 'Done' then return leave(position, row) end
  if outcome == 'GivenBack' then
    row.attempts, row.due = row.attempts - 1, now
    row.session, row.number = nil, nil
    return wait_again(position, row)
  end
  row.error = report.error
  if outcome == 'Retry' and row.attempts < (member and member.attempts or 1) then
    row.due, row.suspect = now + report.delay, false
    return wait_again(position, row)
  end
  if die(position, row, outcome == 'Undecodable' and 'undecodable' or 'report') then return 'dead' end
end

local function report_on_dead(position, letter, report)
  if report.outcome == 'GivenBack' then return 'late' end
  if report.outcome == 'Done' then return bury(position, letter) end
  letter.cause, letter.error, letter.session, letter.number = 'report', report.error, nil, nil
  call('HSET', DEAD, position, cmsgpack.pack(letter))
end

-- A report settles its own delivery, or what a lost lease made of it; any other report is late.
local function apply_report(report)
  local position = report.position
  if is_taken_back(position) then return 'late' end
  local function is_own(of) return of.session == report.session and of.number == report.number end
  local row = in_hand(position)
  if row then
    if not is_own(row) then return 'late' end
    take_hand(position, row)
    return reported(position, row, report, member_of(report.session))
  end
  row = waiting(position)
  if row then
    if not (row.suspect and is_own(row)) or report.outcome == 'GivenBack' then return 'late' end
    take(position, row)
    return reported(position, row, report, member_of(report.session))
  end
  local letter = letter_at(position)
  if letter and is_own(letter) then return report_on_dead(position, letter, report) end
  return 'late'
end

local ENDED_ERROR = 'the program ended, or showed no sign of life for its lease, during the attempt'

local function lease_lost(position, row)
  local member = member_of(row.session) or { attempts = 1, backoff = 0 }
  take_hand(position, row)
  row.error = ENDED_ERROR
  if row.attempts < member.attempts then
    row.due, row.suspect = now + member.backoff, true
    return wait_again(position, row)
  end
  die(position, row, 'lost')
end

-- A chunk of the deliveries of ended sessions.
local function take_over()
  if not head.over then return end
  local over, count, left = {}, 0, false
  for _, session in ipairs(head.over) do over[session] = true end
  local all = call('HGETALL', HAND)
  for i = 1, #all, 2 do
    local position = tonumber(all[i])
    if over[string.sub(all[i + 1], 1, 32)] and not is_taken_back(position) then
      if count == CHUNK then left = true break end
      lease_lost(position, unpack_hand(all[i + 1]))
      count = count + 1
    end
  end
  if not left and not head.move then set('over', nil) end
end

-- A chunk of the waiting rows whose records were trimmed.
local function lose_trimmed()
  if (head.trimmed or 0) == store.trimmed then return end
  local gone = call('ZRANGEBYSCORE', OPEN, '-inf', num(store.trimmed), 'LIMIT', 0, CHUNK)
  for _, position in ipairs(gone) do
    position = tonumber(position)
    local row = waiting(position)
    take(position, row)
    lose(position, row)
  end
  if #gone < CHUNK then set('trimmed', store.trimmed) end
end

-- A chunk of the rows that no pattern takes any more. Returns how many were given up.
local function give_up_forgotten()
  if not head.forget or head.move or not judged then return 0 end
  local found = {}
  for _, key in ipairs({ OPEN, COPIES }) do
    for _, position in ipairs(call('ZRANGEBYSCORE', key, num(head.forget), '+inf', 'LIMIT', 0, CHUNK)) do
      found[#found + 1] = tonumber(position)
    end
  end
  table.sort(found)
  local given_up = 0
  for i = 1, math.min(#found, CHUNK) do
    local position = found[i]
    local row = waiting(position)
    if row and row.kind <= judged.kinds and not judged.union[row.kind] then
      take(position, row)
      if judged.keep[row.kind] then die(position, row, 'forgotten') else give_up(position, row) end
      given_up = given_up + 1
    end
  end
  if #found > CHUNK then set('forget', found[CHUNK] + 1)
  elseif #found == CHUNK then set('forget', found[CHUNK] + 1)
  else set('forget', nil) end
  return given_up
end

-- A chunk of the lanes that no live session takes any more: the rows behind theirs need not wait for them.
local function sweep()
  if head.waits_for then
    local keys = head.waits_for
    set('waits_for', nil)
    for _, key in ipairs(keys) do unblock(key) end
  end
  local sweeps = head.sweeps
  if not sweeps or not judged then return end
  for lane, from in pairs(sweeps) do
    if is_claimed(tonumber(lane)) then sweeps[lane] = nil
    else
      local prefix = string.format('%06d', tonumber(lane))
      local min = from == '' and '[' .. prefix or '(' .. from
      local found = call('ZRANGEBYLEX', DUE, min, '[' .. prefix .. '\255', 'LIMIT', 0, CHUNK)
      local suspects = from == '' and call('ZRANGEBYLEX', SUSPECTS, min, '[' .. prefix .. '\255', 'LIMIT', 0, CHUNK) or {}
      for _, entries in ipairs({ found, suspects }) do
        for _, entry in ipairs(entries) do
          local row = waiting(position_in(entry))
          if row.key then unblock(row.key) end
        end
      end
      sweeps[lane] = #found == CHUNK and found[CHUNK] or nil
    end
    break
  end
  set('sweeps', next(sweeps) and sweeps or nil)
end

local behind = compare()
if behind then return behind end
if not head.name and not request.consumer then return refused('UnknownConsumer') end
