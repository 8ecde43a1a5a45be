-- Version 17. A new object has no facts until `stat` has seen it: until then it has no entries in the indexes of facts,
-- but one among those that nobody has seen.
DROP INDEX object_size;
DROP INDEX object_mtime;
DROP INDEX object_uid;
DROP INDEX object_gid;
DROP INDEX object_mime;
CREATE INDEX object_size ON object (size, id) WHERE size IS NOT NULL;
CREATE INDEX object_mtime ON object (mtime_ns, id) WHERE mtime_ns IS NOT NULL;
CREATE INDEX object_uid ON object (uid) WHERE uid IS NOT NULL;
CREATE INDEX object_gid ON object (gid) WHERE gid IS NOT NULL;
CREATE INDEX object_mime ON object (mime) WHERE mime IS NOT NULL;
CREATE INDEX object_unseen ON object (id) WHERE size IS NULL;
