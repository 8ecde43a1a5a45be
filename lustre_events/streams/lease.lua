-- Take or renew a lease.
--
-- KEYS[1]  le:reader:lease:<mdt> or le:dispatcher:lease   string: the token of who is at work, expires with the lease
-- ARGV[1]  token of the caller
-- ARGV[2]  length of the lease in ms
-- Returns 1 (ours) or 0 (another one holds it).
--
-- PEXPIRE comes first, also where there is no key: Redis allows it with its memory full, and lets a
-- script that has begun to write go on. A few bytes of lease must not wait for memory.

local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
if not holder then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return 1
