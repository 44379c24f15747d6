-- Returns the oldest dead letters.
local most = arg()
local letters = call('ZRANGE', LETTERS, 0, num(tonumber(most) - 1))
for i, position in ipairs(letters) do
  local letter = cmsgpack.unpack(call('HGET', DEAD, position))
  local record = letter.record
  letters[i] = { num(tonumber(position)), record[1], record[2], record[6], letter.error, letter.attempts, letter.first, letter.last }
end
return letters
