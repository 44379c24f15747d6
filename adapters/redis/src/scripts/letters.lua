-- Returns up to `limit` dead letters after a position.
local found = {}
local positions = call('ZRANGEBYSCORE', LETTERS, '(' .. num(request.after), '+inf', 'LIMIT', 0, request.limit)
for i, position in ipairs(positions) do
  local letter = letter_at(position)
  local record = letter.record
  found[i] = { position, record[1], record[2], record[6], letter.error, letter.attempts, letter.first, letter.last }
end
return found
