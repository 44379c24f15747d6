return call('SMEMBERS', CONSUMERS)
