-- Where a subscriber group is: every stream, and of each MDT the one that it reads next (older epochs first).
-- Streams that began since the group was made get it at their start: here, or else by the dispatcher, and until then
-- nothing newer of that MDT is read.
--
-- ARGV[1]  group
-- ARGV[2]  1: who asks may do that; 0: the dispatcher does it
-- Returns nil where there is no such group, else rows {mdt, epoch, 1: read it now | 0: nothing new there, or not
-- yet}, in the order of epochs per MDT.
--
-- The sets le:group:names (the groups) and le:stream:mdts (MDTs that ever had a stream), and the streams, are no KEYS,
-- which may be written: a subscriber may only read them.

if redis.call('SISMEMBER', 'le:group:names', ARGV[1]) == 0 then return nil end

-- Epochs of an MDT. What is no MDT's name, no list, no number is somebody's who may write here, and no epoch.
local function epochs_of(mdt)
  local key, found = 'le:stream:epochs:' .. mdt, {}
  if not string.match(mdt, '^[%w_.-]*MDT%x%x%x%x$') or redis.call('TYPE', key).ok ~= 'list' then return found end
  for _, epoch in ipairs(redis.call('LRANGE', key, 0, -1)) do
    if string.match(epoch, '^%d+$') then found[#found + 1] = epoch end
  end
  return found
end

local function delivered_of(key)
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', key)) do
    local group = {}
    for i = 1, #flat, 2 do group[flat[i]] = flat[i + 1] end
    if group['name'] == ARGV[1] then return group['last-delivered-id'] end
  end
end

local places = {}
for _, mdt in ipairs(redis.call('SMEMBERS', 'le:stream:mdts')) do
  local epochs, reading = epochs_of(mdt), false
  for i, epoch in ipairs(epochs) do
    local key = 'le:stream:' .. mdt .. ':' .. epoch
    if redis.call('TYPE', key).ok == 'stream' then
      local delivered = delivered_of(key)
      if not delivered and ARGV[2] == '1' then
        redis.call('XGROUP', 'CREATE', key, ARGV[1], '0')
        delivered = '0-0'
      end
      local now = delivered and not reading
        and (i == #epochs or #redis.call('XRANGE', key, '(' .. delivered, '+', 'COUNT', 1) > 0)
      reading = reading or now or not delivered
      if delivered then places[#places + 1] = {mdt, epoch, now and 1 or 0} end
    end
  end
end
return places
