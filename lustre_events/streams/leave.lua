-- Remove a subscriber group: nothing is kept for it any more.
--
-- KEYS[1]  le:group:names          set: the subscriber groups
-- KEYS[2]  le:stream:mdts          set: MDTs that ever had a stream
-- KEYS[3]  le:group:lost:<group>   hash: what it has lost
-- ARGV[1]  group
-- Returns 1, or 0 where there is no such group.
--
-- The streams are named by data, not by KEYS: one Redis holds all of them.

if redis.call('SREM', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('DEL', KEYS[3])
-- Epochs of an MDT. What is no MDT's name, no list, no number is somebody's who may write here, and no epoch.
local function epochs_of(mdt)
  local key, found = 'le:stream:epochs:' .. mdt, {}
  if not string.match(mdt, '^[%w_.-]*MDT%x%x%x%x$') or redis.call('TYPE', key).ok ~= 'list' then return found end
  for _, epoch in ipairs(redis.call('LRANGE', key, 0, -1)) do
    if string.match(epoch, '^%d+$') then found[#found + 1] = epoch end
  end
  return found
end

for _, mdt in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  for _, epoch in ipairs(epochs_of(mdt)) do
    local key = 'le:stream:' .. mdt .. ':' .. epoch
    if redis.call('TYPE', key).ok == 'stream' then redis.call('XGROUP', 'DESTROY', key, ARGV[1]) end
  end
end
return 1
