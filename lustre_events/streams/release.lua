-- Give a lease back, if it is the caller's.
--
-- KEYS[1]  le:reader:lease:<mdt>   string: the token of the reader at work
-- ARGV[1]  token of the caller
-- Returns 1 (given back) or 0.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
