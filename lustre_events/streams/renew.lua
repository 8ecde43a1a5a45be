-- Forget requests whose last id lies in the future: somebody has chosen it, and nobody could ask for anything any more.
--
-- KEYS[1]  le:request:waiting   stream: requests
-- ARGV[1]  the latest time in ms that an id may have
-- Returns 1 where they are forgotten.

if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local info = redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' and tonumber(string.match(info[i + 1], '^%d+')) > tonumber(ARGV[1]) then
    return redis.call('DEL', KEYS[1])
  end
end
return 0
