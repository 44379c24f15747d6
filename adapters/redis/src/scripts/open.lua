-- Registers a consumer, or opens it if it exists.
local name, patterns, now, kind, value = arg(), arg(), arg(), arg(), int()
local consumer = prefix .. ':consumer:' .. name
if call('SADD', CONSUMERS, name) == 1 then
  call('HSET', consumer, 'cursor', num(before(kind, value)), 'paused', 0)
end
call('HSET', consumer, 'patterns', patterns, 'seen', now)
return 1
