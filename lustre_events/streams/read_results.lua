-- The oldest entries of the results, as many as fit.
--
-- KEYS[1]  le:result:waiting   list: results not yet in the index; the first bytes of an entry are its id
-- ARGV[1]  most entries
-- ARGV[2]  most bytes of all together (one entry always fits)
-- ARGV[3]  most bytes of one entry: a longer one is nobody's of ours, and comes without its data
-- ARGV[4]  bytes of an id
-- Returns {{id, data}, ...}, and 1 behind them where entries were left out for want of room, else 0.

local found, bytes, length = {}, 0, tonumber(ARGV[4])
for place = 0, tonumber(ARGV[1]) - 1 do
  local entry = redis.call('LINDEX', KEYS[1], place)
  if not entry then break end
  local id, data = string.sub(entry, 1, length), ''
  if #entry <= tonumber(ARGV[3]) then data = string.sub(entry, length + 1) end
  bytes = bytes + #data
  if #found > 0 and bytes > tonumber(ARGV[2]) then return {found, 1} end
  found[#found + 1] = {id, data}
end
return {found, 0}
