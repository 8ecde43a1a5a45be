-- Version 6. A directory's old FID lives on as a stripe: it is remembered while the directory is there.
ALTER TABLE moved ADD COLUMN look BLOB NOT NULL DEFAULT x''; -- swept behind this stamp, unless kept
ALTER TABLE moved ADD COLUMN kept INTEGER NOT NULL DEFAULT 0; -- 1: of a directory that is there
ALTER TABLE moved ADD COLUMN open INTEGER NOT NULL DEFAULT 1; -- 1: there may be names under the old FID yet
UPDATE moved SET look = stamp;
DROP INDEX moved_stamp;
CREATE INDEX moved_look ON moved (look) WHERE kept = 0;
CREATE INDEX moved_target ON moved (target);
CREATE INDEX moved_open ON moved (fid) WHERE open = 1;
