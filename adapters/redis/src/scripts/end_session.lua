-- Ends a session.
local behind = compare()
if behind then return behind end
local session = request.session
if is_live(session) then
  end_session(session, num(now))
  note_time()
  tell('consumers')
elseif call('HEXISTS', ENDED, session) == 0 then
  return refused('UnknownSession')
end
return '{}'
