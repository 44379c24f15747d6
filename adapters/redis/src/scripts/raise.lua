-- Begins another incarnation, unless another session did.
local found = request.found
if found.number == store.incarnation and found.by == store.by then
  local longest = request.lease
  for _, key in ipairs({ LIVE, ENDED }) do
    for _, text in ipairs(call('HVALS', key)) do
      local lease = string.match(text, key == LIVE and '^(%d+)' or '^%d+ (%d+)')
      longest = math.max(longest, tonumber(lease))
    end
  end
  set_store('incarnation', math.max(found.number, request.knew.number) + 1, 'by', request.session,
    'raised_at', store.heard, 'claims_from', store.heard + longest)
  note_time()
end
return cjson.encode({ number = store.incarnation, by = store.by })
