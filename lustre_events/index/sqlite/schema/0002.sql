-- Version 2: what a file is by its content, whether it is on tape only, who may read it; extractors that wait.

ALTER TABLE object ADD COLUMN mime TEXT;        -- MIME type by the first bytes; NULL: not known
ALTER TABLE object ADD COLUMN released INTEGER; -- 1: HSM has released the content (reading would recall it)
ALTER TABLE object ADD COLUMN acl BLOB;         -- system.posix_acl_access as the kernel gives it; NULL: none; empty: not readable
CREATE INDEX object_gid ON object (gid);
CREATE INDEX link_name ON link (name) WHERE fid IS NOT NULL;

-- A document's id begins with its object's (sqlite_documents.SLOT_BITS). First below 0, where no id is.
UPDATE document SET id = -numbered.new FROM (
  SELECT id AS old, (object << 12) + row_number() OVER (PARTITION BY object ORDER BY id) - 1 AS new FROM document
) AS numbered WHERE document.id = numbered.old;
UPDATE document SET id = -id;
DROP INDEX document_extractor;
CREATE INDEX document_extractor ON document (extractor) WHERE body IS NOT NULL;
DROP TABLE fulltext;
CREATE VIRTUAL TABLE fulltext USING fts5 (body, content='', columnsize=0, tokenize='unicode61');
INSERT INTO fulltext (rowid, body) SELECT id, le_text(body) FROM document
  WHERE body IS NOT NULL AND le_text(body) IS NOT NULL ORDER BY id;

-- Where documents come from: what all those of a job have in common, stored once (sqlite_origin.py).
CREATE TABLE origin (
  id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, body TEXT NOT NULL, documents INTEGER NOT NULL
);
ALTER TABLE document ADD COLUMN origin INTEGER;  -- NULL: provenance holds all of it

ALTER TABLE object ADD COLUMN cause BLOB NOT NULL DEFAULT x''; -- packed order key of the last record about it

-- By extractor too: the rows of a suspended one, however many, are not looked at to find those of the others.
DROP INDEX pending_due;
CREATE INDEX pending_due ON pending (queue, priority, extractor, due_ns);
-- What was asked for by hand is given out in portions: how much is under way?
CREATE INDEX pending_reason ON pending (extractor, reason) WHERE reason = 'reprocess';

ALTER TABLE extractor ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0; -- 1: rules pass it over
ALTER TABLE extractor ADD COLUMN failing INTEGER NOT NULL DEFAULT 0;  -- jobs in a row that failed through no file's fault

-- Walks of the file system itself (`lustre-events scan`): each directory that is left is a pending row of the extractor
-- `scan` whose rule begins with the id; what could not be read is kept by name.
CREATE TABLE scan (
  id INTEGER PRIMARY KEY, fid BLOB NOT NULL, began_ns INTEGER NOT NULL,
  directories INTEGER NOT NULL DEFAULT 0, files INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE unreadable (
  scan INTEGER NOT NULL REFERENCES scan (id) ON DELETE CASCADE, fid BLOB NOT NULL, error TEXT NOT NULL,
  PRIMARY KEY (scan, fid)
) WITHOUT ROWID;
CREATE INDEX pending_scan ON pending (rule) WHERE extractor = 'scan';
-- What workers have been asked about the file system, and since when: nothing younger is swept meanwhile.
CREATE INDEX pending_asked ON pending (first_ns) WHERE extractor IN ('heal', 'scan') AND job IS NOT NULL;
