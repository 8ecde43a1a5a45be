-- Merge fields into a state hash, for `status`, which must be able to say that the memory is full.
--
-- KEYS[1]  le:reader:state:<mdt> or le:dispatcher:state   hash
-- KEYS[2]  le:reader:mdts, if it is a reader's         set: MDTs that ever had a reader
-- ARGV     its MDT (else empty), field, value, field, value, ...
--
-- HDEL of a field that never exists comes first: Redis allows it with its memory full, and lets a script
-- that has begun to write go on. The hash has a fixed set of fields, so it does not grow.

redis.call('HDEL', KEYS[1], '')
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
if KEYS[2] then
    redis.call('SADD', KEYS[2], ARGV[1])
end
return 1
