-- The oldest entries of the results, as many as fit.
--
-- KEYS[1]  le:results   stream: results not yet in the index
-- ARGV[1]  most entries
-- ARGV[2]  most bytes of all together (one entry always fits)
-- ARGV[3]  most bytes of one entry: a longer one is nobody's of ours, and comes without its data
-- Returns {{id, data}, ...}, and 1 behind them where entries were left out for want of room, else 0.

local found, bytes, after = {}, 0, '-'
for _ = 1, tonumber(ARGV[1]) do
  local entry = redis.call('XRANGE', KEYS[1], after, '+', 'COUNT', 1)[1]
  if not entry then break end
  local data = ''
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'results' then data = entry[2][i + 1] end
  end
  if #data > tonumber(ARGV[3]) then data = '' end
  bytes = bytes + #data
  if #found > 0 and bytes > tonumber(ARGV[2]) then return {found, 1} end
  found[#found + 1] = {entry[1], data}
  after = '(' .. entry[1]
end
return {found, 0}
