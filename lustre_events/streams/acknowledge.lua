-- Forget the blocks of an epoch that are committed to the index and that no subscriber group within its limit
-- still needs; publish how far the commit is; cut off the groups beyond the limit.
--
-- KEYS[1]  le:stream:<mdt>:<epoch>         stream
-- KEYS[2]  le:dispatcher:committed:<mdt>   hash: epoch -> committed index
-- KEYS[3]  le:group:names                  set: the subscriber groups
-- KEYS[4]  le:stream:epochs:<mdt>          list: this MDT's epochs, oldest first
-- ARGV[1]  MDT
-- ARGV[2]  epoch
-- ARGV[3]  position: the committed index; '': the one published before (a group has acknowledged something)
-- ARGV[4]  limit: records that are kept for a group behind the position; '': cut nobody off. None are kept
--          while three quarters of Redis's memory are used: readers wait when it is full, and never for a group
-- ARGV[5]  now: time in ns, for what a group has lost
-- Also written: le:group:lost:<group>      hash: "<mdt> <epoch>" -> "<first> <last> <time in ns>"
-- (These keys, and the MDT's older streams, are named by data, not by KEYS: one Redis holds all of them.)
--
-- XTRIM is the first write: Redis allows it with its memory full (it is what frees memory), and lets a script
-- that has begun to write go on. `<position>-1` is just above `<position>-0`, the id of a block ending there.
-- Indexes have up to 64 bits, Lua's numbers 53: ids stay strings; only the lag, which needs no last digit, is a number.

local mdt, epoch, position, limit, now = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local function fields_of(flat)
  local fields = {}
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return fields
end

local function above(a, b)  -- compares indexes as decimal strings
  if #a ~= #b then return #a > #b end
  return a > b
end

local function index_of(id) return string.match(id, '^%d+') end

-- What each group has of a stream: the id last delivered, and whether something of it waits for its acknowledgement.
local function attached_to(key)
  local found = {}
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', key)) do
    local group = fields_of(flat)
    found[group['name']] = {delivered = group['last-delivered-id'], pending = group['pending']}
  end
  return found
end

-- The oldest block up to index `last` that a group has not acknowledged: its id and its first index, or nil.
local function oldest_needed(key, group, state, last)
  local from = '(' .. (state and state.delivered or '0-0')
  if state and state.pending > 0 then from = redis.call('XPENDING', key, group)[2] end
  local entry = redis.call('XRANGE', key, from, last .. '-0', 'COUNT', 1)[1]
  if entry then return entry[1], fields_of(entry[2])['first'] end
end

-- Let a group go on behind index `last`, and write down that it lost all from `first` to there.
local function cut_off(key, of_epoch, group, state, first, last)
  if not state then
    redis.call('XGROUP', 'CREATE', key, group, last .. '-0')
  else
    while true do
      local pending = redis.call('XPENDING', key, group, '-', last .. '-0', 1000)
      if #pending == 0 then break end
      for _, each in ipairs(pending) do redis.call('XACK', key, group, each[1]) end
    end
    if above(last, index_of(state.delivered)) then redis.call('XGROUP', 'SETID', key, group, last .. '-0') end
  end
  local lost, field = 'le:group:lost:' .. group, mdt .. ' ' .. of_epoch
  local before = redis.call('HGET', lost, field)
  if before then first = string.match(before, '^%d+') end
  redis.call('HSET', lost, field, first .. ' ' .. last .. ' ' .. now)
end

local function memory_is_short()
  local info = redis.call('INFO', 'memory')
  local allowed = tonumber(string.match(info, 'maxmemory:(%d+)'))
  return allowed > 0 and tonumber(string.match(info, 'used_memory:(%d+)')) > 0.75 * allowed
end

-- 1. Up to where the index is committed: what the dispatcher says now, or what it said last.
local published = position == ''
if published then position = redis.call('HGET', KEYS[2], epoch) end
if not position then return 0 end

-- 2. What each group still needs. `keep`: the oldest block that one within the limit needs; `behind`: the groups beyond
--    it, with the first index that each loses; `missing`: the groups that are not attached to this stream yet.
local key, keep, behind, missing = KEYS[1], nil, {}, {}
local exists = redis.call('EXISTS', key) == 1
local attached = exists and attached_to(key) or {}
local groups = exists and redis.call('SMEMBERS', KEYS[3]) or {}
if #groups > 0 and limit ~= '' and memory_is_short() then limit = '0' end
for _, group in ipairs(groups) do
  local id, first = oldest_needed(key, group, attached[group], position)
  if id and limit ~= '' and tonumber(position) - tonumber(first) + 1 > tonumber(limit) then
    behind[#behind + 1] = {group, first}
  else
    if id and (not keep or above(index_of(keep), index_of(id))) then keep = id end
    if not attached[group] then missing[#missing + 1] = group end
  end
end

-- 3. Forget what is committed and needed by nobody: the first write.
redis.call('XTRIM', key, 'MINID', '=', keep or (position .. '-1'))
-- 4. Attach new groups, at the oldest block that is left.
for _, group in ipairs(missing) do redis.call('XGROUP', 'CREATE', key, group, '0') end
-- 5. Cut off the groups beyond the limit: here, and in every older epoch.
for _, each in ipairs(behind) do
  local group = each[1]
  -- What it has not read of older epochs is further behind still.
  for _, older in ipairs(redis.call('LRANGE', KEYS[4], 0, -1)) do
    if older == epoch then break end
    local older_key = 'le:stream:' .. mdt .. ':' .. older
    if redis.call('EXISTS', older_key) == 1 then
      local last = index_of(fields_of(redis.call('XINFO', 'STREAM', older_key))['last-generated-id'])
      local state = attached_to(older_key)[group]
      local id, first = oldest_needed(older_key, group, state, last)
      if id then cut_off(older_key, older, group, state, first, last) end
    end
  end
  cut_off(key, epoch, group, attached[group], each[2], position)
end
-- 6. Publish how far the commit is.
if not published then redis.call('HSET', KEYS[2], epoch, position) end
return 1
