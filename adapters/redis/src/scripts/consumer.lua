-- The start of all scripts on one consumer, after `common.lua`.
local name = arg()
local function of_consumer(what) return prefix .. ':' .. what .. ':' .. name end
local CONSUMER, PENDING, OPEN = of_consumer('consumer'), of_consumer('pending'), of_consumer('open')
local DUE, LEASES, HELD = of_consumer('due'), of_consumer('leases'), of_consumer('held')
local KINDS, ORDER, DEAD = of_consumer('kinds'), of_consumer('order'), of_consumer('dead')
local LETTERS, KEPT, ANSWER = of_consumer('letters'), of_consumer('kept'), of_consumer('answer') .. ':'
local WAITING = { DUE, LEASES, HELD }

-- Returns the state of a pending event: attempts, state (due, leased, held, or behind another event of its key), key,
-- token of the last claim, time of its first claim, error of the last attempt, kind (version and name, if it is held).
local function find(position)
  local packed = call('HGET', PENDING, member(position))
  return packed and cmsgpack.unpack(packed)
end

-- Stores the state of a pending event, and moves it to the set of that state.
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

-- The prefix of a key's members in ORDER. With its length, no key is a prefix of another.
local function tag(key) return #key .. ':' .. key .. ':' end

-- Returns the first pending position of a key.
local function first_of(key)
  local from = '[' .. tag(key)
  local found = call('ZRANGEBYLEX', ORDER, from, from .. '\255', 'LIMIT', 0, 1)[1]
  return found and tonumber(string.sub(found, -16))
end

local function add(position, row)
  call('ZADD', OPEN, num(position), member(position))
  if row.key then call('ZADD', ORDER, 0, tag(row.key) .. member(position)) end
end

-- Removes an event from the order of its key. The next event of the key becomes due.
local function leave_order(position, row, now)
  if not row.key then return end
  call('ZREM', ORDER, tag(row.key) .. member(position))
  local next = first_of(row.key)
  local behind = next and find(next)
  if behind and behind.state == 'behind' then place(next, behind, 'due', now) end
end

-- Removes a finished event.
local function drop(position, row, now)
  place(position, row, 'gone')
  call('HDEL', PENDING, member(position))
  call('HDEL', KEPT, member(position))
  call('ZREM', OPEN, member(position))
  leave_order(position, row, now)
end

-- Returns the record at a position: from the log, or for a replayed dead letter its copy. Returns false if there is
-- none. Reads each record once.
local records = {}
local function stored(position)
  if records[position] == nil then
    local kept = call('HGET', KEPT, member(position))
    records[position] = record_at(position) or (kept and cmsgpack.unpack(kept)) or false
  end
  return records[position]
end
