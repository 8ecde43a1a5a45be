-- Move results that are for indexers from the lists that workers append to into the stream that indexers share.
--
-- KEYS[1]  le:document:portions   stream
-- KEYS[2]  le:document:moved      hash: pool → how many entries the stream has of it (damaged: passed over)
-- KEYS     further: lists; those of another type are passed over
-- ARGV[1]  most entries of the stream
-- ARGV[2]  most entries of each list
-- ARGV[3]  most bytes of an entry: a longer one is nobody's of ours, and comes without its data
-- ARGV[4]  bytes of the id that an entry begins with
-- ARGV     further: the pool of each list; empty: the site's workers
-- Returns how many entries the stream has then. What is moved is taken from a list first: a script that has freed memory may write.

local room, moved = tonumber(ARGV[1]) - redis.call('XLEN', KEYS[1]), 0
for _ = 1, tonumber(ARGV[2]) do
  for place = 3, #KEYS do
    if moved >= room then return redis.call('XLEN', KEYS[1]) end
    local entry = redis.call('TYPE', KEYS[place]).ok == 'list' and redis.call('LPOP', KEYS[place])
    if entry then
      local data, pool = '', ARGV[place + 2]
      if #entry <= tonumber(ARGV[3]) then data = string.sub(entry, tonumber(ARGV[4]) + 1) end
      redis.call('XADD', KEYS[1], '*', 'pool', pool, 'data', data)
      redis.pcall('HINCRBY', KEYS[2], pool, 1)
      moved = moved + 1
    end
  end
end
return redis.call('XLEN', KEYS[1])
