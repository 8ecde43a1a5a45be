-- What is in a stream, without its data.
--
-- ARGV[1]  a stream; no KEY, which may be written: this is for those too who may only read
-- Returns nil where the key does not exist, else {last id ever given out, number of blocks, first index kept or ''}.

if redis.call('EXISTS', ARGV[1]) == 0 then return nil end
local found = {'', redis.call('XLEN', ARGV[1]), ''}
local info = redis.call('XINFO', 'STREAM', ARGV[1])
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' then found[1] = info[i + 1] end
end
local entry = redis.call('XRANGE', ARGV[1], '-', '+', 'COUNT', 1)[1]
for i = 1, entry and #entry[2] or 0, 2 do
  if entry[2][i] == 'first' then found[3] = entry[2][i + 1] end
end
return found
