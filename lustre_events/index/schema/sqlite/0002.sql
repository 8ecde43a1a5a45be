-- Version 2: what a file is by its content, whether it is on tape only, who may read it; extractors that wait.

ALTER TABLE object ADD COLUMN mime TEXT;        -- MIME type by the first bytes; NULL: not known
ALTER TABLE object ADD COLUMN released INTEGER; -- 1: HSM has released the content (reading would recall it)
ALTER TABLE object ADD COLUMN acl BLOB;         -- system.posix_acl_access as the kernel gives it; NULL: none; empty: not readable
CREATE INDEX object_mime ON object (mime);
CREATE INDEX object_gid ON object (gid);

ALTER TABLE extractor ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0; -- 1: rules pass it over
ALTER TABLE extractor ADD COLUMN failing INTEGER NOT NULL DEFAULT 0;  -- failed attempts since the last good one
