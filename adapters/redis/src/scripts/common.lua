-- What all scripts begin with. KEYS[1] is the prefix of all keys; ARGV[1] is the id of the log that the instance opened.
-- Numbers are written by `num`, as Lua would round those of more than 14 digits.
--
--   P:log        stream   the records; the id of the one at position 7 is 7-0
--   P:meta       hash     of the log: format, id, last position, its time, position trimmed, bytes
--   P:ids        hash     id of an event -> its position, and which call appended it
--   P:consumers  set      the names of consumers
--   and of each consumer C:
--   P:consumer:C hash     patterns, cursor (what was looked at), paused, seen (negative where the program
--                         that asked for events has stopped since)
--   P:pending:C  hash     position -> what was taken of the log and is not finished
--   P:open:C     sorted   the positions of `pending`
--   P:due:C      sorted   of these: what may be handed out, by its time
--   P:leases:C   sorted   of these: what was handed out, by the end of its lease
--   P:held:C     sorted   of these: what waits for a program that knows its version
--   P:kinds:C    hash     which names and versions those are, and how many
--   P:order:C    sorted   of these: what has a key, by key and position
--   P:dead:C     hash     position -> dead letter
--   P:letters:C  sorted   the positions of `dead`
--   P:kept:C     hash     position -> record of a dead letter that is handed out again
--   P:answer:C:I string   the last call of instance I, and what it was answered, should that have been lost on the way
local call, prefix = redis.call, KEYS[1]
local LOG, META, IDS = prefix .. ':log', prefix .. ':meta', prefix .. ':ids'
local CONSUMERS, NOTIFY = prefix .. ':consumers', prefix .. ':notify'

local argument = 1
local function arg()
  argument = argument + 1
  return ARGV[argument]
end
local function int() return tonumber(arg()) end

local function num(number) return string.format('%.0f', number) end
-- As a member, so that members are in the order of positions.
local function member(position) return string.format('%016.0f', position) end
local function meta(field) return tonumber(call('HGET', META, field)) end

-- A record as its fields: id, name, version, time, origin, text.
local function fields_of(entry)
  local found = {}
  for i = 1, #entry, 2 do found[entry[i]] = entry[i + 1] end
  return { found.id, found.name, found.version, found.time, found.origin, found.text }
end

local function record_at(position)
  local id = num(position) .. '-0'
  local found = call('XRANGE', LOG, id, id)[1]
  return found and fields_of(found[2])
end

-- The first position whose record is of this time or later: times never decrease along the log.
local function position_at(time)
  local low, high = meta('trimmed') + 1, meta('last') + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if tonumber(record_at(middle)[4]) >= time then high = middle else low = middle + 1 end
  end
  return low
end

-- The last position before a place in the log.
local function before(kind, value)
  local trimmed, last, cursor = meta('trimmed'), meta('last')
  if kind == 'start' then cursor = trimmed
  elseif kind == 'position' then cursor = value - 1
  elseif kind == 'time' then cursor = position_at(value) - 1
  else cursor = last end
  return math.max(math.min(trimmed, last), math.min(cursor, last))
end

-- Wakes who waits for events. Where that is not allowed, they look now and then; what was written stays.
local function tell() redis.pcall('PUBLISH', NOTIFY, '') end

if call('HGET', META, 'id') ~= ARGV[1] then
  return redis.error_reply('OTHERLOG the log is not the one that was opened')
end
