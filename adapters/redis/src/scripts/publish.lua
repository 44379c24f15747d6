-- Publishes messages on channels, without others in between. Runs without `common.lua`.
for i = 1, #ARGV, 2 do redis.call('PUBLISH', ARGV[i], ARGV[i + 1]) end
return #ARGV / 2
