-- Keep that records are missing. Said again, a loss keeps its time and gets its new end.
--
-- KEYS[1]  le:reader:continuity:<mdt>   hash: "<epoch>:<first>:<reason>" -> "<last> <time in ns>"
-- ARGV[1]  field
-- ARGV[2]  last index, 0: not known yet
-- ARGV[3]  time in ns
--
-- HDEL of a field that never exists comes first: Redis allows it with its memory full, and lets a script
-- that has begun to write go on. A loss must be said above all when the memory is full.

local old = redis.call('HGET', KEYS[1], ARGV[1])
local time = old and string.match(old, ' (%d+)$') or ARGV[3]
redis.call('HDEL', KEYS[1], '')
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. time)
return 1
