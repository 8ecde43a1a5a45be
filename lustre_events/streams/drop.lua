-- Forget a drained epoch that is not the newest of its MDT, and of which no subscriber group needs anything.
--
-- KEYS[1]  le:stream:epochs:<mdt>          list: this MDT's epochs, oldest first
-- KEYS[2]  le:stream:<mdt>:<epoch>         stream; acknowledge.lua has trimmed what nobody needs
-- KEYS[3]  le:dispatcher:committed:<mdt>   hash: epoch -> committed index
-- KEYS[4]  le:dispatcher:dropped:<mdt>     string: "<epoch> <committed index>", the newest epoch that was dropped
-- ARGV[1]  epoch
-- Returns 1, or 0 where it has to stay.

if redis.call('LINDEX', KEYS[1], -1) == ARGV[1] then return 0 end
if redis.call('XLEN', KEYS[2]) > 0 then return 0 end
redis.call('DEL', KEYS[2])
redis.call('LREM', KEYS[1], 0, ARGV[1])
redis.call('SET', KEYS[4], ARGV[1] .. ' ' .. (redis.call('HGET', KEYS[3], ARGV[1]) or '0'))
redis.call('HDEL', KEYS[3], ARGV[1])
return 1
