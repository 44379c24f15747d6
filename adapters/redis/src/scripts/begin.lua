-- Begins the log unless there is one. Returns its id, format and last position. Runs without `common.lua`.
local META, LOG, id, format = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
if redis.call('EXISTS', META) == 0 then
  if redis.call('EXISTS', LOG) == 1 then
    return redis.error_reply('DAMAGED ' .. LOG .. ' exists, but ' .. META .. ' does not')
  end
  redis.call('HSET', META, 'id', id, 'format', format, 'last', 0, 'time', 0, 'stamp', '', 'trimmed', 0, 'bytes', 0)
end
-- Forgets the last appends of instances that appended a day before the last record.
if redis.call('HLEN', META) > 1000 then
  local all = redis.call('HGETALL', META)
  local now = tonumber(redis.call('HGET', META, 'time') or 0)
  for i = 1, #all, 2 do
    local time = string.sub(all[i], 1, 9) == 'appended:' and tonumber(string.match(all[i + 1], '%d+$'))
    if time and time + 86400000000 < now then redis.call('HDEL', META, all[i]) end
  end
end
local begun = redis.call('HMGET', META, 'id', 'format', 'last')
if not (begun[1] and begun[2] and begun[3]) then
  return redis.error_reply('DAMAGED ' .. META .. ' lacks a field that each log has')
end
return begun
