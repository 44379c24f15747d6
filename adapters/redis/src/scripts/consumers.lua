-- Returns durable names and the ids of their consumers.
return call('HGETALL', NAMES)
