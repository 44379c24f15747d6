-- Trims the oldest records that no longer have to be kept, at most `most`. Returns how many it trimmed.
local records, since, most_bytes, most, past = int(), int(), int(), int(), arg() == '1'
local trimmed, last, bytes = meta('trimmed'), meta('last'), meta('bytes')

-- Records before `bound` exceed the retention. Records from `limit` on stay: consumers have not finished them.
local bound = 0
if records then bound = last - records + 1 end
if since then bound = math.max(bound, position_at(since)) end
local limit = math.min(last, trimmed + 1 + most)
local consumers = call('SMEMBERS', CONSUMERS)
for _, name in ipairs(past and {} or consumers) do
  local first = call('ZRANGE', prefix .. ':open:' .. name, 0, 0)[1]
  limit = math.min(limit, tonumber(first or call('HGET', prefix .. ':consumer:' .. name, 'cursor') + 1))
end

local from = trimmed + 1
if from >= math.min(bound, limit) and not (most_bytes and bytes > most_bytes) then return 0 end
local ids = {}
for _, entry in ipairs(call('XRANGE', LOG, '-', num(limit - 1) .. '-0', 'COUNT', most)) do
  if from >= bound and not (most_bytes and bytes > most_bytes) then break end
  local record = fields_of(entry[2])
  ids[#ids + 1] = record[1]
  from, bytes = tonumber(string.match(entry[1], '^%d+')) + 1, bytes - #record[6]
end
if from == trimmed + 1 then return 0 end
call('XTRIM', LOG, 'MINID', num(from) .. '-0')
for _, id in ipairs(ids) do call('HDEL', IDS, id) end
call('HSET', META, 'trimmed', num(from - 1), 'bytes', num(bytes))

-- A consumer notices a lost event when it claims it again. Waiting and held events become due at once, so it does so
-- now.
for _, name in ipairs(past and consumers or {}) do
  local function has(what, position) return call('ZSCORE', prefix .. ':' .. what .. ':' .. name, position) end
  for _, position in ipairs(call('ZRANGEBYSCORE', prefix .. ':open:' .. name, '-inf', num(from - 1))) do
    local kept = call('HEXISTS', prefix .. ':kept:' .. name, position) == 1
    if not kept and (has('due', position) or has('held', position)) then
      call('ZADD', prefix .. ':due:' .. name, 0, position)
    end
  end
end
if past then tell() end
return num(from - 1 - trimmed)
