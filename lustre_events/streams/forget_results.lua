-- Forget the oldest entries of the results, as far as they are among those that are committed: a dispatcher that was
-- replaced meanwhile takes none of what its successor has not seen.
--
-- KEYS[1]  le:result:waiting   list: results not yet in the index; the first bytes of an entry are its id
-- ARGV[1]  bytes of an id
-- ARGV     further: ids

local length, committed = tonumber(ARGV[1]), {}
for place = 2, #ARGV do committed[ARGV[place]] = true end
while true do
  local entry = redis.call('LINDEX', KEYS[1], 0)
  if not entry or not committed[string.sub(entry, 1, length)] then return end
  redis.call('LPOP', KEYS[1])
end
