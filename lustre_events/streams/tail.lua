-- The last id that a stream ever gave out, which remains when all of its entries are trimmed.
-- (XINFO STREAM itself would send the first and the last entry with their data along.)
--
-- KEYS[1]  a stream
-- Returns the id, or nil where the key does not exist.

if redis.call('EXISTS', KEYS[1]) == 0 then return nil end
local info = redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' then return info[i + 1] end
end
