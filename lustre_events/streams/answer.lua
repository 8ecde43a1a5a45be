-- Answer a request, and forget it; an answer that was given already stays as it is.
--
-- KEYS[1]  le:request:waiting           stream: requests that are not answered yet
-- KEYS[2]  le:dispatcher:reply:<id>     stream of one entry: the answer
-- ARGV[1]  the request's id
-- ARGV[2]  the answer, as JSON
-- ARGV[3]  for how many seconds it is kept
--
-- XDEL comes first: Redis allows it with its memory full, and lets a script that has begun to write go on.

redis.call('XDEL', KEYS[1], ARGV[1])
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('XADD', KEYS[2], '1-0', 'reply', ARGV[2])
  redis.call('EXPIRE', KEYS[2], ARGV[3])
end
return 1
