-- Give a lease back, if it is the caller's.
--
-- KEYS[1]  le:reader:lease:<mdt> or le:dispatcher:lease   string: the token of who is at work
-- ARGV[1]  token of the caller
-- Returns 1 (given back) or 0.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
