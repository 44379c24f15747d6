-- Publishes messages on channels, all at once. It runs without what other scripts begin with.
for i = 1, #ARGV, 2 do redis.call('PUBLISH', ARGV[i], ARGV[i + 1]) end
return #ARGV / 2
