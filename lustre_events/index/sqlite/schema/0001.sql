-- Version 1. FIDs are 16 bytes big-endian (FID.pack), names are bytes, times are ns since the epoch in UTC.
-- A stamp is a packed order key (names.OrderKey.pack): 26 bytes whose byte order is the keys' order.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- The one dispatcher that may write. Every transaction begins by checking its token here.
CREATE TABLE writer (one INTEGER PRIMARY KEY CHECK (one = 1), token TEXT NOT NULL, since_ns INTEGER NOT NULL);

-- How far each epoch of each MDT's stream is in the index, and the effective time reached (names.py).
CREATE TABLE cursor (
  mdt TEXT NOT NULL, epoch INTEGER NOT NULL,
  position INTEGER NOT NULL, eff_time INTEGER NOT NULL,
  PRIMARY KEY (mdt, epoch)
) WITHOUT ROWID;

-- The namespace: what each (parent, name) means. fid NULL is a tombstone. The highest stamp wins.
CREATE TABLE link (
  parent BLOB NOT NULL, name BLOB NOT NULL, fid BLOB, stamp BLOB NOT NULL,
  PRIMARY KEY (parent, name)
) WITHOUT ROWID;
CREATE INDEX link_fid ON link (fid) WHERE fid IS NOT NULL;
CREATE INDEX link_dead ON link (stamp) WHERE fid IS NULL;

-- Migrations: the FID that an object had, and the next one, until no record of the old one can come any more.
CREATE TABLE moved (fid BLOB PRIMARY KEY, target BLOB NOT NULL, stamp BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX moved_stamp ON moved (stamp);

-- Directories whose files must be asked about again, because they have another path: up to which name that is done.
CREATE TABLE walk (
  id INTEGER PRIMARY KEY, fid BLOB NOT NULL UNIQUE, after BLOB NOT NULL, depth INTEGER NOT NULL
);

-- Objects, with the facts that `stat` keeps. generation is raised by every change of content or
-- attributes; content is the generation of the last change of content, 0 if none was seen.
CREATE TABLE object (
  id INTEGER PRIMARY KEY, fid BLOB NOT NULL UNIQUE,
  generation INTEGER NOT NULL DEFAULT 0, content INTEGER NOT NULL DEFAULT 0,
  type TEXT,                         -- f d l p s b c; NULL: not known yet
  size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, atime_ns INTEGER,
  uid INTEGER, gid INTEGER, mode INTEGER, nlink INTEGER,
  jobid BLOB,                        -- of the last record that changed it
  facts_generation INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX object_size ON object (size);
CREATE INDEX object_mtime ON object (mtime_ns);
CREATE INDEX object_uid ON object (uid);

-- The to-do list: one row per (object, extractor). While a job holds the row, due_ns is the end of its lease.
CREATE TABLE pending (
  fid BLOB NOT NULL, extractor TEXT NOT NULL,
  generation INTEGER NOT NULL,       -- the generation that is wanted
  due_ns INTEGER NOT NULL,
  first_ns INTEGER NOT NULL,         -- when the row was made: bounds settling
  attempts INTEGER NOT NULL DEFAULT 0,
  reason TEXT NOT NULL,              -- create write attributes name retry reprocess heal ...
  rule TEXT NOT NULL DEFAULT '',
  queue TEXT NOT NULL, priority INTEGER NOT NULL DEFAULT 0,
  job TEXT,                          -- RQ's job id while leased
  PRIMARY KEY (fid, extractor)
) WITHOUT ROWID;
CREATE INDEX pending_due ON pending (queue, priority, due_ns);

-- Extractors seen; serial is raised when version or digest changes.
CREATE TABLE extractor (
  name TEXT PRIMARY KEY, version TEXT NOT NULL, digest TEXT NOT NULL, serial INTEGER NOT NULL,
  suspended TEXT                     -- why, or NULL
) WITHOUT ROWID;

-- One document per (object, extractor): the last good one, and beside it the last failed attempt.
CREATE TABLE document (
  id INTEGER PRIMARY KEY,
  object INTEGER NOT NULL REFERENCES object (id) ON DELETE CASCADE,
  extractor TEXT NOT NULL,
  generation INTEGER NOT NULL DEFAULT 0, serial INTEGER NOT NULL DEFAULT 0,
  body TEXT,                         -- JSON object; NULL: no good document yet
  provenance TEXT,                   -- JSON object
  failure TEXT,                      -- JSON object; NULL: the last attempt was good
  failure_generation INTEGER, failure_serial INTEGER,
  UNIQUE (object, extractor)
);
CREATE INDEX document_extractor ON document (extractor, object) WHERE body IS NOT NULL;
CREATE INDEX document_failure ON document (extractor) WHERE failure IS NOT NULL;

-- What is searched: every scalar of every document under its dotted key (number; word: strings and booleans,
-- folded), the words of longer strings (part), and all text (values.py).
CREATE TABLE key (id INTEGER PRIMARY KEY, extractor TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (extractor, name));
CREATE INDEX key_name ON key (name);
CREATE TABLE number (key INTEGER NOT NULL, value REAL NOT NULL, object INTEGER NOT NULL,
  PRIMARY KEY (key, value, object)) WITHOUT ROWID;
CREATE TABLE word (key INTEGER NOT NULL, value TEXT NOT NULL, object INTEGER NOT NULL,
  PRIMARY KEY (key, value, object)) WITHOUT ROWID;
CREATE TABLE part (key INTEGER NOT NULL, value TEXT NOT NULL, object INTEGER NOT NULL,
  PRIMARY KEY (key, value, object)) WITHOUT ROWID;
CREATE VIRTUAL TABLE fulltext USING fts5 (body, content='', tokenize='unicode61');  -- rowid = document.id

-- Sums that survive restarts and add up: records = named + changed + ignored, ...
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
