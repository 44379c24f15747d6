-- Returns the status of a consumer, or false if there is none.
local now = arg()
local of = call('HMGET', CONSUMER, 'patterns', 'cursor', 'paused', 'seen')
if not of[2] then return false end
local first, pending, held = call('ZRANGE', OPEN, 0, 0)[1], call('HLEN', PENDING), call('ZCARD', HELD)
local position = first and tonumber(first) - 1 or tonumber(of[2])
local leased = call('ZCOUNT', LEASES, '(' .. now, '+inf')
local lag = meta('last') - tonumber(of[2]) + pending
return { of[1], num(position), num(lag), leased, held, pending - leased - held, call('HLEN', DEAD), tonumber(of[3]), of[4] }
