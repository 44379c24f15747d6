-- Returns whether a consumer has an event waiting or in hand, whether its position is before it, and its union.
if head.removed then return false end
local position = request.position
local has_row = call('HEXISTS', ROWS, position) == 1 or call('HEXISTS', HAND, position) == 1
return { head.name, has_row and 1 or 0, head.position < position and 1 or 0, cjson.encode(head.union) }
