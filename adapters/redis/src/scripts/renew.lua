-- Extends leases, and notes that a program has the consumer open.
local now, lease = int(), int()
if call('EXISTS', CONSUMER) == 0 then return 0 end
while argument < #ARGV do
  local position, token = int(), arg()
  local row = find(position)
  if row and row.state == 'leased' and row.token == token then
    place(position, row, 'leased', now + lease)
  end
end
call('HSET', CONSUMER, 'seen', num(now))
return 1
