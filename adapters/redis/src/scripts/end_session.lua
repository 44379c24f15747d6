-- Ends a session.
local behind = compare()
if behind then return behind end
local session = request.session
local live = call('HGET', LIVE, session)
if live then
  end_session(session, string.match(live, '%d+$'))
  note_time()
  tell('consumers')
elseif call('HEXISTS', ENDED, session) == 0 then
  return refused('UnknownSession')
end
return '{}'
