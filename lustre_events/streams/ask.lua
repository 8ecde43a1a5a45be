-- Put a request to the dispatcher.
--
-- KEYS[1]  le:request:waiting   stream: requests that are not answered yet
-- ARGV[1]  the request, as JSON
-- ARGV[2]  for how many seconds it may be carried out
-- Returns the request's id.
--
-- The key ends a while after the newest request's time, so requests that nobody reads do not stay for ever.

local id = redis.call('XADD', KEYS[1], '*', 'request', ARGV[1], 'seconds', ARGV[2])
local left = redis.call('PTTL', KEYS[1])
redis.call('PEXPIRE', KEYS[1], math.max(left, math.ceil(ARGV[2] * 1000) + 60000))
return id
