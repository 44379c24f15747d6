-- Trims the oldest records that no longer have to be kept, at most a chunk. After the keys of the log, KEYS has those of
-- each consumer: head, open, hand, ahead. Returns how many records it trimmed and
-- the time, or false if there are other consumers
-- now, or other patterns than the caller has matched.
local trimmed, last, bytes = store.trimmed, store.last, meta('bytes')
local consumers, known = request.consumers or {}, {}
for _, consumer in ipairs(consumers) do known[tostring(consumer.id)] = true end
local count = 0
for _, id in ipairs(call('HVALS', NAMES)) do
  if id ~= 'removed' then
    count = count + 1
    if not known[id] then return false end
  end
end
if count ~= #consumers then return false end
-- After a jump of the clock, the age of records says nothing for a while.
local since = request.age and store.heard >= store.trim_from and now - request.age or nil

-- Records before `bound` exceed the retention. Records from `limit` on stay: consumers have not finished them.
local bound = 0
if request.records then bound = last - request.records + 1 end
if request.to then bound = request.to + 1 end
if since then bound = math.max(bound, position_at(since)) end
local limit = math.min(last, trimmed + 1 + CHUNK)
for i, consumer in ipairs(consumers) do
  local head, open, hand = KEYS[4 * i + 3], KEYS[4 * i + 4], KEYS[4 * i + 5]
  local of = call('HMGET', head, 'position', 'move', 'patterns')
  local move = of[2] and cjson.decode(of[2])
  -- A seek ahead counts the events that it has passed over.
  consumer.position = move and move.counted or tonumber(of[1])
  if request.past then
    if tonumber(of[3]) ~= consumer.number or trimmed ~= request.trimmed then return false end
  else
    limit = math.min(limit, consumer.position + 1, tonumber(call('ZRANGE', open, 0, 0)[1] or last + 1))
    for _, position in ipairs(call('HKEYS', hand)) do
      if tonumber(position) > trimmed then limit = math.min(limit, tonumber(position)) end
    end
  end
end

local from, is_large = trimmed + 1, request.bytes and bytes > request.bytes
if from >= math.min(bound, limit) and not is_large then return { 0, num(now) } end
local ids = {}
for _, entry in ipairs(call('XRANGE', LOG, '-', num(limit - 1), 'COUNT', CHUNK)) do
  if from >= bound and not (request.bytes and bytes > request.bytes) then break end
  local record = fields_of(entry)
  ids[#ids + 1] = record[1]
  from, bytes = tonumber(string.match(entry[1], '^%d+')) + 1, bytes - #record[6]
end
if from == trimmed + 1 then return { 0, num(now) } end
call('XTRIM', LOG, 'MINID', num(from))
call('HDEL', IDS, unpack(ids))
set_store('trimmed', from - 1, 'bytes', bytes)
note_time()

-- Consumers lose the events that they had not come to. They notice rows without a record by `trimmed`.
if request.past then
  for i, consumer in ipairs(consumers) do
    local lost = 0
    for _, position in ipairs(consumer.taken or {}) do
      local is_new = position > consumer.position and position < from
      if is_new and not call('ZSCORE', KEYS[4 * i + 6], num(position)) then lost = lost + 1 end
    end
    if lost > 0 then
      call('HINCRBY', KEYS[4 * i + 3], 'dropped', lost)
      call('HINCRBY', KEYS[4 * i + 3], 'lost', lost)
    end
  end
  tell('consumers')
end
return { num(from - 1 - trimmed), num(now) }
