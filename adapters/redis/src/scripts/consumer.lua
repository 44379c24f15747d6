-- What scripts on one consumer begin with.
local name = arg()
local function of_consumer(what) return prefix .. ':' .. what .. ':' .. name end
local CONSUMER, PENDING, OPEN = of_consumer('consumer'), of_consumer('pending'), of_consumer('open')
local DUE, LEASES, HELD = of_consumer('due'), of_consumer('leases'), of_consumer('held')
local KINDS, ORDER, DEAD = of_consumer('kinds'), of_consumer('order'), of_consumer('dead')
local LETTERS, KEPT, ANSWER = of_consumer('letters'), of_consumer('kept'), of_consumer('answer') .. ':'
local WAITING = { DUE, LEASES, HELD }

-- What is pending of an event: attempts, state (due, leased, held, or behind another of its key), key, when it was first
-- handed out, error of the attempt before, kind (name and version, while it is held).
local function find(position)
  local packed = call('HGET', PENDING, member(position))
  return packed and cmsgpack.unpack(packed)
end

-- Writes what is pending of an event: in one of the sets of what waits, or in none.
local function place(position, row, state, score)
  if row.state == 'held' then
    if call('HINCRBY', KINDS, row.kind, -1) == 0 then call('HDEL', KINDS, row.kind) end
  end
  for _, set in ipairs(WAITING) do call('ZREM', set, member(position)) end
  row.state = state
  if state == 'due' then call('ZADD', DUE, num(score), member(position))
  elseif state == 'leased' then call('ZADD', LEASES, num(score), member(position))
  elseif state == 'held' then
    call('ZADD', HELD, num(position), member(position))
    call('HINCRBY', KINDS, row.kind, 1)
  end
  call('HSET', PENDING, member(position), cmsgpack.pack(row))
end

-- Keys of different lengths must not be taken for each other.
local function tag(key) return #key .. ':' .. key .. ':' end

-- The first pending position of a key.
local function first_of(key)
  local from = '[' .. tag(key)
  local found = call('ZRANGEBYLEX', ORDER, from, from .. '\255', 'LIMIT', 0, 1)[1]
  return found and tonumber(string.sub(found, -16))
end

local function add(position, row)
  call('ZADD', OPEN, num(position), member(position))
  if row.key then call('ZADD', ORDER, 0, tag(row.key) .. member(position)) end
end

-- The next event of its key may go on.
local function leave_order(position, row, now)
  if not row.key then return end
  call('ZREM', ORDER, tag(row.key) .. member(position))
  local next = first_of(row.key)
  local behind = next and find(next)
  if behind and behind.state == 'behind' then place(next, behind, 'due', now) end
end

-- The event is finished.
local function drop(position, row, now)
  place(position, row, 'gone')
  call('HDEL', PENDING, member(position))
  call('HDEL', KEPT, member(position))
  call('ZREM', OPEN, member(position))
  leave_order(position, row, now)
end

-- A record that the log has, or, of a dead letter that is handed out again, the copy of it; false if it is gone. It is
-- read once.
local records = {}
local function stored(position)
  if records[position] == nil then
    local kept = call('HGET', KEPT, member(position))
    records[position] = record_at(position) or (kept and cmsgpack.unpack(kept)) or false
  end
  return records[position]
end
