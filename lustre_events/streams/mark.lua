-- Keep a fact about clearing: `mark`, the greatest index that is about to be cleared on the MDT, or `cleared_for`.
--
-- KEYS[1]  le:reader:lease:<mdt>   string: the token of the reader at work
-- KEYS[2]  le:reader:state:<mdt>   hash: its fields `mark` and `cleared_for`
-- ARGV[1]  token of the caller's lease
-- ARGV[2]  field
-- ARGV[3]  value
-- Returns 1, or 0 where the lease is not ours.
--
-- HDEL of a field that never exists comes first: Redis allows it with its memory full, and lets a script
-- that has begun to write go on, so clearing goes on too.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[2], '')
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
return 1
