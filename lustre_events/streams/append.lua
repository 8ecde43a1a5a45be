-- Compare-and-append: store one block of records behind the tail that the reader expects, or change nothing.
--
-- KEYS[1]  le:reader:lease:<mdt>          string: the token of the reader at work
-- KEYS[2]  le:stream:epochs:<mdt>         list: this MDT's epochs, oldest first
-- KEYS[3]  le:stream:mdts                 set: MDTs that ever had a stream
-- KEYS[4]  le:stream:<mdt>:<epoch>        stream: where the block goes
-- KEYS[5]  le:reader:state:<mdt>          hash: its field `anchor`
-- ARGV[1]  token of the caller's lease
-- ARGV[2]  MDT
-- ARGV[3]  expected epoch, 0: no stream
-- ARGV[4]  expected last index, 0 with epoch 0
-- ARGV[5]  the block's epoch
-- ARGV[6]  codec: the block's compression
-- ARGV[7]  first: index of its first record
-- ARGV[8]  last: index of its last record, above ARGV[4] within an epoch (the caller checks)
-- ARGV[9]  count of its records
-- ARGV[10] data: the compressed records
-- ARGV[11] digest of its last record
-- Returns {"STORED"}, {"LEASE"} (the lease is not ours) or {"MOVED", epoch, last id} (the tail as it is).
--
-- Epochs and indexes have up to 64 bits, Lua's numbers 53: they are compared as strings only.
-- The newest epoch's key is named by the list, not by KEYS: one Redis holds all of them, no cluster does.

local function last_id(key)
  if redis.call('EXISTS', key) == 0 then return nil end
  local info = redis.call('XINFO', 'STREAM', key)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return info[i + 1] end
  end
end

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'LEASE'} end

local tail_epoch, tail_id = '0', '0-0'
local newest = redis.call('LINDEX', KEYS[2], -1)
if newest then
  local id = last_id('le:stream:' .. ARGV[2] .. ':' .. newest)
  if id then tail_epoch, tail_id = newest, id end
end

local expected_id, block_id = ARGV[4] .. '-0', ARGV[8] .. '-0'
if tail_epoch == ARGV[5] and tail_id == block_id then
  return {'STORED'}  -- sent a second time, after an unknown outcome
end
if tail_epoch ~= ARGV[3] or tail_id ~= expected_id then return {'MOVED', tail_epoch, tail_id} end
local begins = ARGV[5] ~= ARGV[3]
if begins and redis.call('EXISTS', KEYS[4]) == 1 then return {'MOVED', tail_epoch, tail_id} end

-- XADD comes first: it alone may fail for want of memory, and then nothing has been written.
-- `behind`: where the stream ended before, by which a reader sees whether entries were taken away.
local behind = begins and '0' or ARGV[4]
redis.call('XADD', KEYS[4], block_id, 'codec', ARGV[6], 'first', ARGV[7], 'count', ARGV[9], 'behind', behind,
  'data', ARGV[10])
redis.call('HSET', KEYS[5], 'anchor', ARGV[8] .. ' ' .. ARGV[11])
if begins then
  redis.call('RPUSH', KEYS[2], ARGV[5])
  redis.call('SADD', KEYS[3], ARGV[2])
end
return {'STORED'}
