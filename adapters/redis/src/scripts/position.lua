-- Finds records by time and by id: the start of all scripts that include `common.lua`, and a part of `append.lua`. KEYS
-- begins with the keys of the log:
--
--   log      stream   the records. The id of an entry is position and time of its record, such as 7-1790000000000000; its
--                     fields are `head` (id, version, origin and name) and `text`
--   meta     hash     of the log: id, format, last position, its time (`time`, and as text `stamp`), last trimmed
--                     position, bytes of all texts, `retention` of the program that opened it last, and for each
--                     instance its last append: see `append.lua`
--   ids      hash     id of an event -> its position. Most ids have no entry: see `position_of`
-- and those of durable delivery: see `store.lua` and `consumer.lua`.
local call = redis.call
local META, LOG, IDS, NAMES, LIVE, ENDED = unpack(KEYS, 1, 6)

-- An id that the library made contains the time. It has an entry in `ids` if its record has a time that is later by more
-- than this, in microseconds.
local NEAR = 25000

local function num(number) return string.format('%.0f', number) end

-- Returns the first position whose record has this time or a later one. Times never decrease along the log.
local function position_at(time)
  local of = call('HMGET', META, 'trimmed', 'last')
  local low, high = of[1] + 1, of[2] + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    local entry = call('XRANGE', LOG, num(middle), '+', 'COUNT', 1)[1]
    if not entry or tonumber(string.match(entry[1], '%d+$')) >= time then high = middle else low = middle + 1 end
  end
  return low
end

-- Returns the position of an event, or nil if the log does not have it. An id without an entry in `ids` is searched among
-- the records of its time.
local function position_of(id)
  local known = call('HGET', IDS, id)
  if known then return tonumber(known) end
  local made = 1000 * tonumber(string.sub(id, 1, 8) .. string.sub(id, 10, 13), 16)
  if made > tonumber(call('HGET', META, 'time')) then return nil end
  local from, found = num(position_at(made)), nil
  repeat
    found = call('XRANGE', LOG, from, '+', 'COUNT', 100)
    for _, entry in ipairs(found) do
      local position, time = string.match(entry[1], '^(%d+)-(%d+)$')
      if tonumber(time) > made + 1000 + NEAR then return nil end
      if string.sub(entry[2][2], 1, 36) == id then return tonumber(position) end
      from = num(position + 1)
    end
  until #found < 100
  return nil
end
