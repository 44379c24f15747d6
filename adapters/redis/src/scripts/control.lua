-- Runs an operator's command. Returns the number of affected events or dead letters, or false if there is no such
-- consumer.
local now, what, value, most = int(), arg(), arg(), int()
if call('EXISTS', CONSUMER) == 0 then return false end

local function forget(keys)
  for _, key in ipairs(keys) do call('DEL', key) end
end

-- Returns the dead letter of the event `value`, or up to `most` dead letters if no event is given.
local function letters()
  local found = call('ZRANGE', LETTERS, 0, value == '' and most - 1 or -1)
  if value == '' then return found end
  local of = {}
  for _, position in ipairs(found) do
    if cmsgpack.unpack(call('HGET', DEAD, position)).record[1] == value then of[#of + 1] = position end
  end
  return of
end

local function purge(position)
  call('HDEL', DEAD, position)
  call('ZREM', LETTERS, position)
end

local does = {
  pause = function() call('HSET', CONSUMER, 'paused', 1) return 1 end,
  resume = function() call('HSET', CONSUMER, 'paused', 0) return 1 end,
  seek = function()
    call('HSET', CONSUMER, 'cursor', num(before(value, int())))
    forget({ PENDING, OPEN, DUE, LEASES, HELD, KINDS, ORDER, KEPT })
    return 1
  end,
  remove = function()
    forget({ CONSUMER, PENDING, OPEN, DUE, LEASES, HELD, KINDS, ORDER, KEPT, DEAD, LETTERS })
    call('SREM', CONSUMERS, name)
    return 1
  end,
  replay = function()
    local found = letters()
    for _, position in ipairs(found) do
      local letter = cmsgpack.unpack(call('HGET', DEAD, position))
      call('HSET', KEPT, position, cmsgpack.pack(letter.record))
      if call('HEXISTS', PENDING, position) == 0 then
        local row = { attempts = 0, first = now, key = false }
        add(tonumber(position), row)
        place(tonumber(position), row, 'due', now)
      end
      purge(position)
    end
    return #found
  end,
  purge = function()
    local found = letters()
    for _, position in ipairs(found) do purge(position) end
    return #found
  end,
}
local concerned = does[what]()
tell()
return concerned
