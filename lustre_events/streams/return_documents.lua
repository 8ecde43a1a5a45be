-- Move results that were for indexers into the lists of the results, from the stream and from the lists: there are no
-- indexers any more.
--
-- KEYS[1]  le:document:portions   stream
-- KEYS[2]  le:document:moved      hash: pool → how many entries the stream has of it (damaged: passed over)
-- KEYS     further: of each pool the list of documents and that of results; those of another type are passed over
-- ARGV[1]  most entries
-- ARGV[2]  most bytes of all together (one entry always fits)
-- ARGV     further: the pools; empty: the site's workers
-- Returns how many were moved. What is moved is removed first: a script that has freed memory may write. The new entry
-- of one from the stream begins with the id that it had there, as long as all ids of entries are.

local lists, kinds, moved, bytes = {}, {list = true, none = true}, 0, 0
for place = 3, #ARGV do
  local from, to = KEYS[2 * place - 3], KEYS[2 * place - 2]
  if kinds[redis.call('TYPE', from).ok] and kinds[redis.call('TYPE', to).ok] then lists[ARGV[place]] = {from, to} end
end
local function full() return moved >= tonumber(ARGV[1]) or bytes >= tonumber(ARGV[2]) end
while not full() and redis.call('TYPE', KEYS[1]).ok == 'stream' do
  local entry = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  if not entry then
    redis.call('DEL', KEYS[1], KEYS[2])
    break
  end
  local fields = {}
  for place = 1, #entry[2], 2 do fields[entry[2][place]] = entry[2][place + 1] end
  redis.call('XDEL', KEYS[1], entry[1])
  redis.pcall('HINCRBY', KEYS[2], fields.pool or '', -1)
  local list = lists[fields.pool or '']
  if list then redis.call('RPUSH', list[2], string.format('%-32s', entry[1]) .. (fields.data or '')) end
  moved, bytes = moved + 1, bytes + #(fields.data or '')
end
for _, list in pairs(lists) do
  while not full() do
    local entry = redis.call('LPOP', list[1])
    if not entry then break end
    redis.call('RPUSH', list[2], entry)
    moved, bytes = moved + 1, bytes + #entry
  end
end
return moved
