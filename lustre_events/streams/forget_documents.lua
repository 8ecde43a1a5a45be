-- Forget portions that are written: all at once, so that none stays in the stream that is nobody's. Redis allows these
-- commands with its memory full, which it does in no transaction.
--
-- KEYS[1]  le:document:portions   stream
-- KEYS[2]  le:document:moved      hash: pool → how many entries the stream has of it (damaged: passed over)
-- ARGV[1]  the group
-- ARGV     further: ids, each with its pool

for place = 2, #ARGV, 2 do
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[place])
  if redis.call('XDEL', KEYS[1], ARGV[place]) == 1 then redis.pcall('HINCRBY', KEYS[2], ARGV[place + 1], -1) end
end
if redis.call('XLEN', KEYS[1]) == 0 then redis.call('DEL', KEYS[2]) end
