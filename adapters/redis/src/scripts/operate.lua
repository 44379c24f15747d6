-- Applies an operator's call.
if head.removed then return refused('Removed') end
catch_up()
local what = request.operation
local done = { affected = 0, dropped = 0, left = 0 }
read_lanes()

local function finish()
  done.dropped = done.dropped + dropped
  save_head()
  save_dropped()
  save_hands()
  note_time()
  tell('consumers')
  return cjson.encode(done)
end

-- The position before an event that is the first at or after `start`.
local function seek()
  if head.move then return refused('Moving') end
  local start, position = request.start, store.last
  if start.kind == 'start' then position = 0
  elseif start.kind == 'position' then position = math.min(math.max(start.value, 1), store.last + 1) - 1
  elseif start.kind == 'time' then position = position_at(start.value) - 1 end
  local old = head.position
  if position < old then
    set('move', { kind = 'back', phase = 'hand', from = position + 1, next = position + 1, to = math.max(last_position(), old) })
  else
    set('move', {
      kind = 'ahead', phase = 'count', next = 0, to = position, counted = old, union = cjson.encode(head.union),
    })
  end
  set('position', position)
  set('moves', head.moves + 1)
  done.more = 0
  return finish()
end

-- A chunk of the positions of rows that a move has not come to.
local function rows_left(move)
  local found = {}
  for _, key in ipairs({ OPEN, COPIES }) do
    for _, position in ipairs(call('ZRANGEBYSCORE', key, num(move.next), num(move.to), 'LIMIT', 0, CHUNK)) do
      found[#found + 1] = tonumber(position)
    end
  end
  table.sort(found)
  for i = #found, CHUNK + 1, -1 do found[i] = nil end
  return found
end

local function note_move(move, phase)
  if phase and phase ~= move.phase then move.phase, move.next = phase, move.from or 0 end
  set('move', move)
end

local function end_move(move)
  if move.kind == 'order' then set('deciding', move.number) end
  set('move', nil)
  set('decided', nil)
  decide()
end

-- An event that is in the log is new again. Another begins again with its copy, or is lost.
local function take_back(position, row)
  if position > store.trimmed and position <= store.last then
    leave(position, row)
  elseif row.copy then
    local again = { kind = row.kind, lane = 0, attempts = 0, first = now, key = row.key, copy = true, due = now }
    put(position, again)
    if row.key then unblock(row.key) end
  else
    lose(position, row)
  end
  done.affected = done.affected + 1
end

local function run_back(move)
  if move.phase == 'hand' then
    local all, count = call('HGETALL', HAND), 0
    for i = 1, #all, 2 do
      local position = tonumber(all[i])
      if position >= move.from and position <= move.to then
        if count == CHUNK then return end
        local row = unpack_hand(all[i + 1])
        take_hand(position, row)
        take_back(position, row)
        count = count + 1
      end
    end
    return note_move(move, 'rows')
  end
  if move.phase == 'rows' then
    local found = rows_left(move)
    for _, position in ipairs(found) do
      local row = waiting(position)
      if row then
        take(position, row)
        take_back(position, row)
      end
      move.next = position + 1
    end
    if #found < CHUNK then return note_move(move, 'letters') end
    return note_move(move)
  end
  local found = call('ZRANGEBYSCORE', LETTERS, num(move.next), num(move.to), 'LIMIT', 0, CHUNK)
  for _, position in ipairs(found) do
    position = tonumber(position)
    local letter = letter_at(position)
    bury(position, letter)
    if not (position > store.trimmed and position <= store.last) then wait_with_copy(position, letter) end
    done.affected = done.affected + 1
    move.next = position + 1
  end
  if #found < CHUNK then return end_move(move) end
  note_move(move)
end

-- Counts the events of the log that the consumer had not come to, then drops the rows. Names are matched in Rust, which
-- passes the positions that the union takes.
local function run_ahead(move)
  if move.phase == 'count' and move.counted < move.to then
    if request.counted ~= move.counted then return end
    for _, position in ipairs(request.taken or {}) do
      if not call('ZSCORE', AHEAD, num(position)) then dropped = dropped + 1 end
    end
    move.counted = request.counted_to
    return note_move(move)
  end
  local found = rows_left(move)
  for _, position in ipairs(found) do
    local row = waiting(position)
    if row then
      take(position, row)
      give_up(position, row)
      done.affected = done.affected + 1
    end
    move.next = position + 1
  end
  if #found < CHUNK then return end_move(move) end
  move.phase = 'rows'
  note_move(move)
end

-- Gives rows, then dead letters, the keys by which the new settings order them.
local function run_order(move)
  local keys = {}
  if request.settings_number == move.number then
    for _, entry in ipairs(request.keys or {}) do keys[entry[1]] = entry[2] end
  end
  local function left()
    if move.phase == 'rows' then
      local found = rows_left(move)
      if #found > 0 then return found end
      note_move(move, 'letters')
    end
    local found = call('ZRANGEBYSCORE', LETTERS, num(move.next), num(move.to), 'LIMIT', 0, CHUNK)
    for i, position in ipairs(found) do found[i] = tonumber(position) end
    return found
  end
  for _, position in ipairs(left()) do
    local key = keys[position]
    if key == nil then break end
    if key == cjson.null then key = nil end
    local row, letter = waiting(position), letter_at(position)
    if row and move.phase == 'rows' then
      take(position, row)
      row.key = key
      put(position, row)
    elseif letter then
      letter.key = key
      call('HSET', DEAD, position, cmsgpack.pack(letter))
    end
    done.affected = done.affected + 1
    move.next = position + 1
  end
  local next_rows = left()
  if #next_rows == 0 then return end_move(move) end
  note_move(move)
  local settings = settings_of(move.number)
  done.keys_by = { move.number, settings[3] }
  done.keys = next_rows
end

local function run_move()
  local move = head.move
  if not move then return finish() end
  if move.kind == 'back' then run_back(move) elseif move.kind == 'ahead' then run_ahead(move) else run_order(move) end
  if head.move then done.more = 0 end
  if head.move and head.move.phase == 'count' and head.move.counted < head.move.to then done.count = head.move end
  local keys = done.keys
  local reply = { finish() }
  for _, position in ipairs(keys or {}) do
    local row, letter = waiting(position), letter_at(position)
    local copy = letter and letter.record or row and row.copy and stored_record(position, row)
    if copy then
      reply[#reply + 1] = num(position)
      reply[#reply + 1] = copy[6]
    end
  end
  return reply
end

-- The dead letter of an event, or a chunk of those after a position.
local function chosen_letters()
  if request.event then
    local position = call('HGET', EVENTS, request.event)
    return { position and tonumber(position) or nil }
  end
  local found = call('ZRANGEBYSCORE', LETTERS, '(' .. num(request.after), '+inf', 'LIMIT', 0, LETTERS_AT_ONCE)
  for i, position in ipairs(found) do found[i] = tonumber(position) end
  return found
end

local function replay()
  if head.move then return refused('Moving') end
  if not judge_for() then return JUDGE end
  local found = chosen_letters()
  for _, position in ipairs(found) do
    local letter = letter_at(position)
    if judged.union[letter.kind] then
      bury(position, letter)
      wait_with_copy(position, letter)
      done.affected = done.affected + 1
    else
      done.left = done.left + 1
    end
  end
  if not request.event then done.more = found[#found] end
  return finish()
end

local function purge()
  local found = chosen_letters()
  for _, position in ipairs(found) do bury(position, letter_at(position)) end
  done.affected = #found
  if not request.event and #found == LETTERS_AT_ONCE then done.more = found[#found] end
  return finish()
end

local function remove()
  call('HSET', NAMES, head.name, 'removed')
  for i = 7, #KEYS do
    if KEYS[i] ~= HEAD then call('UNLINK', KEYS[i]) end
  end
  call('UNLINK', HEAD)
  call('HSET', HEAD, 'name', head.name, 'removed', '1')
  note_time()
  tell('consumers')
  return cjson.encode({ affected = 1 })
end

-- Drops the rows in the lanes of unclaimed kinds, then those that no session has met.
local function drop_unclaimed()
  if head.move then return refused('Moving') end
  local is_alive = false
  for _, member in pairs(members()) do is_alive = is_alive or not member.ended end
  if not is_alive then return refused('NoSession') end
  if not judge_for() then return JUDGE end
  local looked = 0
  local function drop_row(position)
    local row = waiting(position)
    take(position, row)
    give_up(position, row)
  end
  for lane in pairs(lanes) do
    if not is_claimed(lane) and looked < CHUNK then
      local prefix = string.format('%06d', lane)
      for _, index in ipairs({ DUE, SUSPECTS }) do
        local found = call('ZRANGEBYLEX', index, '[' .. prefix, '[' .. prefix .. '\255', 'LIMIT', 0, CHUNK - looked)
        for _, entry in ipairs(found) do drop_row(position_in(entry)) end
        looked = looked + #found
      end
    end
  end
  local is_full = looked >= CHUNK
  if not is_full then
    local dropping = tonumber(head.dropping or 0)
    local found = {}
    for _, key in ipairs({ OPEN, COPIES }) do
      local some = call('ZRANGEBYSCORE', key, '(' .. num(dropping), num(head.position), 'LIMIT', 0, CHUNK)
      for _, position in ipairs(some) do found[#found + 1] = tonumber(position) end
    end
    table.sort(found)
    is_full = #found >= CHUNK
    for i = 1, math.min(#found, CHUNK) do
      local row = waiting(found[i])
      if row and not is_claimed(row.kind) then drop_row(found[i]) end
    end
    set('dropping', is_full and num(found[CHUNK]) or nil)
  end
  if is_full then done.more = 0 end
  done.affected = dropped
  return finish()
end

local function forget_pattern()
  for _, member in pairs(members()) do
    for _, pattern in ipairs(member.patterns) do
      if not member.ended and pattern == request.pattern then return refused('PatternInUse') end
    end
  end
  for i, pattern in ipairs(head.union) do
    if pattern == request.pattern then
      table.remove(head.union, i)
      set('union', head.union)
      set('patterns', head.patterns + 1)
      local forgotten = head.forgotten or {}
      forgotten[pattern] = request.keep
      set('forgotten', forgotten)
      set('forget', 0)
      save_head()
      break
    end
  end
  if head.forget and not head.move then
    if not judge_for() then return JUDGE end
    done.affected = give_up_forgotten()
    if head.forget then done.more = 0 end
  end
  return finish()
end

local function pause(paused)
  set('paused', paused)
  done.affected = 1
  return finish()
end

-- Rows of other lanes may be unblocked, which needs a judgement.
if (next(lanes) or head.forgotten) and what ~= 'pause' and what ~= 'resume' and what ~= 'remove' and what ~= 'forget' then
  if what ~= 'drop' and not judge_for() then return JUDGE end
end
if what == 'seek' then return seek()
elseif what == 'move' then return run_move()
elseif what == 'replay' then return replay()
elseif what == 'purge' then return purge()
elseif what == 'remove' then return remove()
elseif what == 'drop' then return drop_unclaimed()
elseif what == 'forget' then return forget_pattern()
elseif what == 'pause' then return pause('1')
else return pause(nil) end
