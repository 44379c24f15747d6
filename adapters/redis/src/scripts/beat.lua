-- Takes a sign of life of a session, and marks sessions as ended that sent none for their lease.
local behind = compare()
if behind then return behind end
local session = request.session
if call('HEXISTS', ENDED, session) == 1 then return refused('SessionEnded') end
local live, own, shortest = call('HGETALL', LIVE), nil, nil
for i = 1, #live, 2 do
  local lease, note, beat, time = string.match(live[i + 1], '^(%d+) (%d+) (%d+) (%d+)$')
  local of = { session = live[i], lease = tonumber(lease), note = tonumber(note), beat = tonumber(beat), time = tonumber(time) }
  live[(i + 1) / 2] = of
  if of.session == session then own = of end
  shortest = math.min(shortest or of.lease, of.lease)
end
if not own then return refused('UnknownSession') end
if request.number <= own.beat then return refused('OldNumber') end

local heard = math.max(store.heard, own.note + math.min(request.elapsed, math.floor(shortest / 3)))
local jumped = request.elapsed > 0 and now - own.time > request.elapsed + limits.jump
own.note, own.beat, own.time = heard, request.number, now
call('HSET', LIVE, session, table.concat({ num(own.lease), num(heard), num(own.beat), num(now) }, ' '))
set_store('heard', heard)
if jumped then set_store('trim_from', heard + limits.day) end
note_time()
local ended = {}
for i = 1, #live / 2 do
  local of = live[i]
  if of.note + of.lease < heard then
    end_session(of.session, num(of.time))
    ended[#ended + 1] = of.session
  end
end
-- Their deliveries come back to the consumers by the next exchanges.
if #ended > 0 then tell('consumers') end
local newest = record_at(store.last)
return cjson.encode({
  heard = num(heard), newest = store.last, id = newest and newest[1], ended = #ended > 0 and ended or nil, jumped = jumped,
  time = num(now),
})
