-- Returns the number of the patterns of a consumer, and its union. Returns false if it was removed.
if head.removed then return false end
return { num(head.patterns), cjson.encode(head.union) }
