-- Read a key, unless it holds more than can be taken: whoever may write there may have put gigabytes.
--
-- ARGV[1]    the key; not among KEYS, so that a login that only reads may call this
-- ARGV[2]    most of its members; of more its size could only be guessed
-- ARGV[3]    most of its bytes
-- ARGV[4..]  the command, and its words behind the key
-- Returns what the command does; false where the key holds more.

local cards = {SRANDMEMBER = 'SCARD', ZRANGEBYSCORE = 'ZCARD', ZREVRANGE = 'ZCARD', HMGET = 'HLEN'}
local card = cards[ARGV[4]] and redis.pcall(cards[ARGV[4]], ARGV[1])
if type(card) == 'number' and card > tonumber(ARGV[2]) then return false end
local size = redis.call('MEMORY', 'USAGE', ARGV[1], 'SAMPLES', ARGV[2])
if size and size > tonumber(ARGV[3]) then return false end
return redis.pcall(ARGV[4], ARGV[1], unpack(ARGV, 5))
