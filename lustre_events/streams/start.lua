-- Where a stream begins: what an index must have that goes on reading here.
--
-- KEYS[1]  le:stream:<mdt>:<epoch>          stream
-- KEYS[2]  le:dispatcher:dropped:<mdt>      string: "<epoch> <committed index>", the newest epoch that was dropped
-- Returns {left, first, dropped}, all strings, '' for what is not there or not known.
-- `left` is the last index that is no longer in the stream, `first` the first one that is.

local left, first = '', ''
if redis.call('EXISTS', KEYS[1]) == 1 then
  local info, fields = redis.call('XINFO', 'STREAM', KEYS[1]), {}
  for i = 1, #info, 2 do fields[info[i]] = info[i + 1] end
  if fields['first-entry'] then
    local entry = fields['first-entry'][2]
    for j = 1, #entry, 2 do
      if entry[j] == 'behind' then left = entry[j + 1] end
      if entry[j] == 'first' then first = entry[j + 1] end
    end
  else
    left = string.match(fields['last-generated-id'], '^%d+')
  end
end
return {left, first, redis.call('GET', KEYS[2]) or ''}
