-- Forget the blocks of an epoch that are committed to the index, and publish how far that is.
--
-- KEYS[1]  le:stream:<mdt>:<epoch>         stream
-- KEYS[2]  le:dispatcher:committed:<mdt>   hash: epoch -> committed index
-- ARGV[1]  epoch
-- ARGV[2]  position: the committed index
--
-- XTRIM comes first: Redis allows it with its memory full (it is what frees memory), and lets a script that
-- has begun to write go on. `<position>-1` is just above `<position>-0`, the id of a block ending there.

redis.call('XTRIM', KEYS[1], 'MINID', '=', ARGV[2] .. '-1')
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return 1
