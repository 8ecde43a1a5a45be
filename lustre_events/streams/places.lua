-- Where a subscriber group is: every stream, and of each MDT the one that it reads next (older epochs first).
-- Streams that began since the group was made get it at their start.
--
-- KEYS[1]  le:group:names   set: the subscriber groups
-- KEYS[2]  le:stream:mdts   set: MDTs that ever had a stream
-- ARGV[1]  group
-- Returns nil where there is no such group, else rows {mdt, epoch, 1: read it now | 0: nothing new there, or not
-- yet}, in the order of epochs per MDT.
--
-- The streams are named by data, not by KEYS: one Redis holds all of them.

if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 0 then return nil end

local function delivered_of(key)
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', key)) do
    local group = {}
    for i = 1, #flat, 2 do group[flat[i]] = flat[i + 1] end
    if group['name'] == ARGV[1] then return group['last-delivered-id'] end
  end
end

local places = {}
for _, mdt in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  local epochs, reading = redis.call('LRANGE', 'le:stream:epochs:' .. mdt, 0, -1), false
  for i, epoch in ipairs(epochs) do
    local key = 'le:stream:' .. mdt .. ':' .. epoch
    if redis.call('EXISTS', key) == 1 then
      local delivered = delivered_of(key)
      if not delivered then
        redis.call('XGROUP', 'CREATE', key, ARGV[1], '0')
        delivered = '0-0'
      end
      local now = not reading
        and (i == #epochs or #redis.call('XRANGE', key, '(' .. delivered, '+', 'COUNT', 1) > 0)
      reading = reading or now
      places[#places + 1] = {mdt, epoch, now and 1 or 0}
    end
  end
end
return places
