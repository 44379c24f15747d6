-- Notes that the program that asked for events has stopped.
local now = int()
if call('EXISTS', CONSUMER) == 1 then
  call('HSET', CONSUMER, 'seen', num(-now))
  -- Whoever else has it open says so.
  tell()
end
return 1
