-- The start of all scripts except `append`, `begin`, `publish` and `quick`. KEYS begins with the keys of the log; ARGV[1]
-- is the id of the log that the instance opened. Numbers are written by `num`, because Lua rounds those of more than 14
-- digits.
--
--   log      stream   the records; the id of the one at position 7 is 7-0
--   meta     hash     of the log: id, format, last position, its time (`time`, and as text `stamp`), last trimmed
--                     position, bytes of all texts, `retention` of the program that opened it last
--   ids      hash     id of an event -> its position, and the call that appended it
-- and those of durable delivery: see `store.lua` and `consumer.lua`.
local call = redis.call
local META, LOG, IDS, NAMES, LIVE, ENDED = unpack(KEYS, 1, 6)
local NOTIFY = string.sub(META, 1, -5) .. 'notify'

local argument = 1
local function arg()
  argument = argument + 1
  return ARGV[argument]
end
local function int() return tonumber(arg()) end

local function num(number) return string.format('%.0f', number) end
-- A position as member of a sorted set, padded so that members sort by position.
local function member(position) return string.format('%016.0f', position) end
local function meta(field) return tonumber(call('HGET', META, field)) end

-- Returns a stream entry as a list: id, name, version, time, origin, text. `append.lua` writes them in this order.
local function fields_of(entry)
  if entry[1] == 'id' and entry[3] == 'name' and entry[5] == 'version' and entry[11] == 'text' then
    return { entry[2], entry[4], entry[6], entry[8], entry[10], entry[12] }
  end
  local found = {}
  for i = 1, #entry, 2 do found[entry[i]] = entry[i + 1] end
  return { found.id, found.name, found.version, found.time, found.origin, found.text }
end

local function record_at(position)
  local id = num(position) .. '-0'
  local found = call('XRANGE', LOG, id, id)[1]
  return found and fields_of(found[2])
end

-- Returns the first position whose record has this time or a later one. Times never decrease along the log.
local function position_at(time)
  local low, high = meta('trimmed') + 1, meta('last') + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if tonumber(record_at(middle)[4]) >= time then high = middle else low = middle + 1 end
  end
  return low
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
