-- Notes that a program that had the consumer open has stopped.
local now = int()
if call('EXISTS', CONSUMER) == 1 then
  call('HSET', CONSUMER, 'seen', num(-now))
  -- Wakes other programs that have the consumer open: their next exchange sets `seen` again.
  tell()
end
return 1
