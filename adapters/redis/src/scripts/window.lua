-- The window of a claim: what a session has read in the log after the position of the consumer. After `consumer.lua`.

-- Whether the window was read in other data: it ends after the log, the log has another event there, or the log begins
-- earlier.
local function is_other(window)
  if window.to > store.last or window.begins > store.trimmed + 1 then return true end
  if not window.newest then return false end
  if window.newest > store.last then return true end
  local record = window.newest > store.trimmed and record_at(window.newest)
  return record and record[1] ~= window.newest_id
end

-- Calls `visit` with each event of the window after the position, in their order, and moves the position. An event at
-- which the consumer has a row is passed over. Ends early when `visit` returns false: its event is not passed then.
-- `visit` gets the position, and index and key of the event in the window.
local function move_over(window, visit)
  if window.from > head.position + 1 or window.to <= head.position then return end
  local to, ahead = window.to, {}
  if head.ahead then
    local found = call('ZRANGEBYSCORE', AHEAD, num(head.position + 1), num(to), 'LIMIT', 0, CHUNK)
    for i, position in ipairs(found) do ahead[i] = tonumber(position) end
    if #ahead == CHUNK then to = ahead[CHUNK] end
  end
  local next_ahead, reached = 1, to
  local function pass(until_position)
    while ahead[next_ahead] and ahead[next_ahead] <= until_position do
      head.position = ahead[next_ahead]
      activate(ahead[next_ahead])
      next_ahead = next_ahead + 1
    end
  end
  for index, position in ipairs(window.positions or {}) do
    if position > to then break end
    if position > head.position and position > store.trimmed then
      pass(position - 1)
      head.position = position - 1
      if ahead[next_ahead] ~= position then
        local key = window.keys and window.keys[index]
        if key == cjson.null then key = nil end
        if not visit(position, index, key) then
          reached = position - 1
          break
        end
      end
    end
  end
  pass(reached)
  set('position', reached)
  if head.ahead and call('EXISTS', AHEAD) == 0 then set('ahead', nil) end
end
