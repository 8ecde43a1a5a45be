-- Give an indexer some of the results that are for indexers: what the stream has that nobody was given, then entries
-- of the lists that workers append to, which move into the stream one after the other.
--
-- KEYS[1]  le:document:portions   stream
-- KEYS[2]  le:document:moved      hash: pool → how many entries the stream has of it (damaged: passed over)
-- KEYS     further: lists; those of another type are passed over
-- ARGV[1]  the group
-- ARGV[2]  the indexer
-- ARGV[3]  most entries of the stream
-- ARGV[4]  most entries for the indexer
-- ARGV[5]  with as many bytes it gets no further entry
-- ARGV[6]  most bytes of an entry: a longer one is nobody's of ours, and comes without its data
-- ARGV[7]  bytes of the id that an entry of a list begins with
-- ARGV     further: the pool of each list; empty: the site's workers
-- Returns the entries, each with its id and its fields, and 1 if there may be more of them. What is moved is taken from
-- a list first: a script that has freed memory may write.

local before, place, bytes, found = 7, 2, 0, {}

local function move()
  for _ = 3, #KEYS do
    place = place < #KEYS and place + 1 or 3
    local entry = redis.call('TYPE', KEYS[place]).ok == 'list' and redis.call('LPOP', KEYS[place])
    if entry then
      local data, pool = '', ARGV[before + place - 2]
      if #entry <= tonumber(ARGV[6]) then data = string.sub(entry, tonumber(ARGV[7]) + 1) end
      redis.call('XADD', KEYS[1], '*', 'pool', pool, 'data', data)
      redis.pcall('HINCRBY', KEYS[2], pool, 1)
      return true
    end
  end
end

while #found < tonumber(ARGV[4]) and bytes < tonumber(ARGV[5]) do
  local given = redis.call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', 1, 'STREAMS', KEYS[1], '>')
  if given then
    local entry = given[1][2][1]
    found[#found + 1] = entry
    for _, part in ipairs(entry[2]) do bytes = bytes + #part end
  elseif redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[3]) or not move() then
    return {found, 0}
  end
end
return {found, 1}
