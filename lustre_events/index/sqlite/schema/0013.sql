-- Version 13. Names are found without case and accents: `folded` is the name so, NULL where it is so already.
-- names.py then fills in what is there.
ALTER TABLE link ADD COLUMN folded BLOB;
DROP INDEX link_name;
CREATE INDEX link_folded ON link (coalesce(folded, name)) WHERE fid IS NOT NULL;
-- The words of each object's names. Its text is kept, so that a row can be replaced without knowing it.
CREATE VIRTUAL TABLE naming USING fts5 (body, columnsize=0, tokenize='unicode61');  -- rowid = object.id
