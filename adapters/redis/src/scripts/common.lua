-- The start of all scripts on the log except `append`, `begin`, `publish` and `quick`, after `position.lua`. ARGV[1] is
-- the id of the log that the instance opened. Numbers are written by `num`, because Lua rounds those of more than 14
-- digits.
local NOTIFY = string.sub(META, 1, -5) .. 'notify'

local argument = 1
local function arg()
  argument = argument + 1
  return ARGV[argument]
end
local function int() return tonumber(arg()) end

-- A position as member of a sorted set, padded so that members sort by position.
local function member(position) return string.format('%016.0f', position) end
local function meta(field) return tonumber(call('HGET', META, field)) end

-- Returns a stream entry as a list: id, name, version, time, origin, text. `append.lua` writes entries.
local function fields_of(entry)
  local id, version, origin, name = string.match(entry[2][2], '^(%S+) (%S+) (%S+) (.*)$')
  return { id, name, version, string.match(entry[1], '%d+$'), origin, entry[2][4] }
end

local function record_at(position)
  local found = call('XRANGE', LOG, num(position), num(position))[1]
  return found and fields_of(found)
end

-- Returns the cursor of a consumer that starts at a position, a time, the start of the log, or now.
local function before(kind, value)
  local trimmed, last, cursor = meta('trimmed'), meta('last')
  if kind == 'start' then cursor = trimmed
  elseif kind == 'position' then cursor = value - 1
  elseif kind == 'time' then cursor = position_at(value) - 1
  else cursor = last end
  return math.max(math.min(trimmed, last), math.min(cursor, last))
end

-- Wakes instances that wait for changes of the log, or of `consumers`. If the user may not publish, they still poll, and
-- the writes of this script stay.
local function tell(what) redis.pcall('PUBLISH', NOTIFY, what or '') end

if call('HGET', META, 'id') ~= ARGV[1] then
  return redis.error_reply('OTHERLOG the log is not the one that was opened')
end
