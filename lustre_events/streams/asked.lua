-- Take what subscribers have asked for, the oldest first; what is longer than anybody's request is thrown away.
--
-- KEYS[1]  le:group:asked   list: requests
-- ARGV[1]  most requests
-- ARGV[2]  most bytes of one
-- Returns the requests.

local found = {}
for _ = 1, tonumber(ARGV[1]) do
  local request = redis.call('LPOP', KEYS[1])
  if not request then break end
  if #request <= tonumber(ARGV[2]) then found[#found + 1] = request end
end
return found
