-- The start of all scripts of durable delivery, after `common.lua`. ARGV[2] is the call as JSON; absent fields are nil.
-- Answers are JSON, too, after a `!` if the
-- call was refused. Numbers in them have at most 14 digits, because cjson writes no more.
--
--   live     hash   session -> lease, its note of *heard*, number and time of its last beat
--   ended    hash   session -> *heard* at its end, lease; the last ones only
--   names    hash   durable name -> id of its consumer, or `removed`
--   and in meta: heard, incarnation, by, raised_at, claims_from, trim_from, consumers (the last id), ends (number of
--   sessions that ended), and the clock: clock (the last time), offset
local request = cjson.decode(ARGV[2])

-- The bounds on the work of a call; others than LIMITS are for checks.
local limits = request.limits or LIMITS
local CHUNK, LETTERS_AT_ONCE = limits.chunk, limits.letters

local store = {}
do
  local names = { 'last', 'trimmed', 'heard', 'incarnation', 'by', 'raised_at', 'claims_from', 'trim_from', 'ends', 'clock', 'offset' }
  for i, value in ipairs(call('HMGET', META, unpack(names))) do
    if names[i] == 'by' then store.by = value or ''
    elseif names[i] == 'raised_at' then store.raised_at = value and tonumber(value)
    else store[names[i]] = tonumber(value or 0) end
  end
end

-- Sets fields of the state of the store.
local function set_store(...)
  local list = { ... }
  for i = 1, #list, 2 do
    store[list[i]] = list[i + 1]
    if type(list[i + 1]) == 'number' then list[i + 1] = num(list[i + 1]) end
  end
  call('HSET', META, unpack(list))
end

-- The time of the store follows the clock. While the clock is behind the last time, it continues from there.
local now
do
  local reading = request.now
  if not reading then
    local time = call('TIME')
    reading = tonumber(time[1]) * 1000000 + tonumber(time[2])
  end
  if reading >= store.clock then store.offset = 0
  elseif reading + store.offset < store.clock or reading + store.offset - store.clock > store.clock - reading then
    store.offset = store.clock - reading
  end
  now = reading + store.offset
end
-- Called by scripts that write.
local function note_time() set_store('clock', now, 'offset', store.offset) end

local function refused(what)
  return '!' .. cjson.encode({ refused = what, number = store.incarnation, by = store.by })
end

-- Returns a refusal if the caller knows other or newer data than this store has.
local function compare()
  local knows = request.knows
  if not knows then return nil end
  if knows.number == store.incarnation and knows.by == store.by then
    if store.heard < knows.heard or store.last < knows.newest then return refused('Behind') end
  elseif knows.number < store.incarnation then return refused('OtherIncarnation')
  else return refused('Behind') end
end

local function is_live(session) return call('HEXISTS', LIVE, session) == 1 end

-- Marks a live session as ended, and forgets sessions that ended long ago or are too many. Consumers notice by `ends`.
local function end_session(session, seen)
  local lease = string.match(call('HGET', LIVE, session), '^%d+')
  call('HDEL', LIVE, session)
  call('HSET', ENDED, session, num(store.heard) .. ' ' .. lease .. ' ' .. seen)
  set_store('ends', store.ends + 1)
  local all, kept = call('HGETALL', ENDED), {}
  for i = 1, #all, 2 do
    local since = tonumber(string.match(all[i + 1], '^%d+'))
    if since + limits.day < store.heard then call('HDEL', ENDED, all[i]) else kept[#kept + 1] = { since, all[i] } end
  end
  if #kept > limits.ended_sessions then
    table.sort(kept, function(a, b) return a[1] < b[1] end)
    for i = 1, #kept - limits.ended_sessions do call('HDEL', ENDED, kept[i][2]) end
  end
end
