-- What there is of one MDT, all of one moment.
--
-- KEYS[1]  le:stream:epochs:<mdt>          list: this MDT's epochs, oldest first
-- KEYS[2]  le:reader:state:<mdt>           hash: its fields `mark` and `anchor`
-- ARGV[1]  MDT
-- Returns {newest epoch, last id, mark, anchor, committed, behind}, all strings, '' for what is not there.
-- `behind` is the index behind which the stream's oldest entry was appended, '-' where there is no entry.
--
-- The newest epoch's key is named by the list, not by KEYS: one Redis holds all of them, no cluster does. The hash
-- le:dispatcher:committed:<mdt> is no KEY either: a key of a script may be written, and this one is only read here.

local newest = redis.call('LINDEX', KEYS[1], -1) or ''
local mark = redis.call('HGET', KEYS[2], 'mark') or ''
local anchor = redis.call('HGET', KEYS[2], 'anchor') or ''
local committed = redis.call('HGET', 'le:dispatcher:committed:' .. ARGV[1], newest) or ''
local key = 'le:stream:' .. ARGV[1] .. ':' .. newest
local last_id, behind = '', '-'
if newest ~= '' and redis.call('EXISTS', key) == 1 then
  local info = redis.call('XINFO', 'STREAM', key)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then last_id = info[i + 1] end
    if info[i] == 'first-entry' and info[i + 1] then
      behind = ''
      local fields = info[i + 1][2]
      for j = 1, #fields, 2 do
        if fields[j] == 'behind' then behind = fields[j + 1] end
      end
    end
  end
end
return {newest, last_id, mark, anchor, committed, behind}
