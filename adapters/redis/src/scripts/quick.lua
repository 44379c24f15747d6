-- The exchange of a session whose deliveries were handled in their first attempts, at a consumer without waiting rows: it
-- defines no functions, which cost more than all its calls. In any other case it answers `full` before its first
-- write, and `exchange.lua` is called. Runs without `common.lua`. KEYS[9] and all after it must not exist.
local call = redis.call
local META, LOG, LIVE, HEAD, CALLS, HAND, BUSY, KINDS = unpack(KEYS, 1, 8)
local FULL = '!{"refused":"full"}'
local of = call('HMGET', META, 'id', 'last', 'trimmed', 'heard', 'incarnation', 'by', 'claims_from', 'ends', 'clock', 'offset')
if of[1] ~= ARGV[1] then return redis.error_reply('OTHERLOG the log is not the one that was opened') end
local request = cjson.decode(ARGV[2])
local session, claim, knows, done = request.session, request.claim, request.knows, request.done or {}
local last, trimmed, heard = tonumber(of[2]), tonumber(of[3]), tonumber(of[4] or 0)
if knows then
  if knows.number ~= tonumber(of[5] or 0) or knows.by ~= (of[6] or '') then return FULL end
  if heard < knows.heard or last < knows.newest then return FULL end
end
local head = call('HMGET', HEAD, 'position', 'patterns', 'union', 'deciding', 'present', 'moves', 'ends', 'decided', 'trimmed',
  'removed', 'move', 'paused', 'undecided', 'solo', 'sweeps', 'forget', 'over', 'ahead', 'waits_for')
for i = 10, 19 do
  if head[i] then return FULL end
end
if not head[5] or head[7] ~= (of[8] or '0') or head[8] ~= head[2] or head[9] ~= of[3] then return FULL end
local called = call('HMGET', CALLS, session, session .. ':h', session .. ':s', session .. ':w')
local held = tonumber(called[2] or 0)
if called[3] ~= head[4] or request.number <= tonumber(called[1] or 0) then return FULL end
if request.last_answered ~= tonumber(called[1] or 0) or request.in_hand ~= held then return FULL end
if call('HEXISTS', LIVE, session) == 0 or call('EXISTS', unpack(KEYS, 9)) > 0 then return FULL end

-- The time of the store: see `store.lua`.
local reading, clock, offset = request.now, tonumber(of[9] or 0), tonumber(of[10] or 0)
if not reading then
  local time = call('TIME')
  reading = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
if reading >= clock then offset = 0
elseif reading + offset < clock or reading + offset - clock > clock - reading then offset = clock - reading end
local now = string.format('%.0f', reading + offset)

local gone, freed, is_free = {}, {}, {}
if #done > 0 then
  for i = 1, #done, 2 do gone[#gone + 1] = done[i] end
  local found = call('HMGET', HAND, unpack(gone))
  local token, of_number, seen = nil, nil, {}
  for i = 1, #gone do
    if done[2 * i] ~= of_number then
      of_number = done[2 * i]
      token = session .. string.format('%.0f', of_number) .. '-'
    end
    if not found[i] or string.sub(found[i], 1, #token) ~= token or seen[gone[i]] then return FULL end
    seen[gone[i]] = true
    local key = string.match(found[i], '^%d+ %-?%d+ (.*)$', #token + 1)
    if key then freed[#freed + 1], is_free[key] = key, true end
  end
end

local position = tonumber(head[1])
local hand, busy, deliveries, more = {}, {}, {}, false
if claim then
  local window = claim.window
  if heard < tonumber(of[7] or 0) or window.settings_number ~= tonumber(head[4]) then return FULL end
  if window.patterns_number ~= tonumber(head[2]) or window.begins > trimmed + 1 or window.to > last then return FULL end
  -- The record that was compared last is in the calls: data that are replaced are replaced with them.
  if window.newest and window.newest_id ~= called[4] then
    if window.newest > last then return FULL end
    local id = string.format('%.0f', window.newest)
    local record = window.newest > trimmed and call('XRANGE', LOG, id, id)[1]
    if record and string.sub(record[2][2], 1, 36) ~= window.newest_id then return FULL end
  end
  if window.from <= position + 1 and window.to > position then
    local keys, positions = window.keys, window.positions
    local kinds = #window.kinds > 0 and call('HMGET', KINDS, unpack(window.kinds)) or {}
    local known, at = {}, {}
    if keys and #keys > 0 then
      local some = {}
      for i = 1, #keys do
        if keys[i] ~= cjson.null then some[#some + 1], at[i] = keys[i], #some + 1 end
      end
      known = #some > 0 and call('HMGET', BUSY, unpack(some)) or {}
    end
    local number, texts = session .. string.format('%.0f', request.number) .. '-', {}
    local max, reached = math.min(claim.max, keys and LIMITS.claimed_in_order or LIMITS.claimed), window.to
    for i = 1, #positions do
      local next = positions[i]
      if next > position and next > trimmed then
        if #deliveries >= max then
          reached, more = next - 1, true
          break
        end
        local kind_of, key = window.kind_of[i], keys and keys[i] ~= cjson.null and keys[i]
        local kind, text = kinds[kind_of], texts[kind_of]
        if not kind or (window.takes and window.takes[i] ~= 1) then return FULL end
        if not text then
          text = number .. kind .. ' ' .. now
          texts[kind_of] = text
        end
        if key then
          if is_free[key] == false or (known[at[i]] and not is_free[key]) then return FULL end
          is_free[key] = false
          busy[#busy + 1] = key
          busy[#busy + 1] = next
          text = text .. ' ' .. key
        end
        hand[#hand + 1] = next
        hand[#hand + 1] = text
        deliveries[#deliveries + 1] = next
      end
    end
    position = math.max(position, reached)
  end
end

if #gone > 0 then call('HDEL', HAND, unpack(gone)) end
if #freed > 0 then call('HDEL', BUSY, unpack(freed)) end
if #hand > 0 then call('HSET', HAND, unpack(hand)) end
if #busy > 0 then call('HSET', BUSY, unpack(busy)) end
local text = string.format('%.0f', position)
if text ~= head[1] then call('HSET', HEAD, 'position', text) end
local answer = '{"claims":"' .. (claim and 'Open' or 'NotAsked') .. '"' .. (more and ',"more":true' or '')
if #deliveries > 0 then answer = answer .. ',"deliveries":[' .. table.concat(deliveries, ',') .. ']' end
answer = answer .. ',"terms":{"position":' .. text .. ',"patterns_number":' .. head[2] .. ',"union":' .. head[3]
  .. ',"settings_number":' .. head[4] .. ',"settings":' .. head[5] .. ',"moves":' .. head[6] .. '}}'
call('HSET', CALLS, session, string.format('%.0f', request.number), session .. ':h', held - #gone + #deliveries,
  session .. ':r', answer, session .. ':w', claim and claim.window.newest_id or called[4] or '')
call('HSET', META, 'clock', now, 'offset', string.format('%.0f', offset))
return answer
