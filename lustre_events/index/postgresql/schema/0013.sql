-- Version 13. Names are found without case and accents: `folded` is the name so, NULL where it is so already.
-- writer.py then fills in what is there.
ALTER TABLE link ADD COLUMN folded BYTEA;
DROP INDEX link_name;
-- The words of the name (fulltext.py).
ALTER TABLE link ADD COLUMN words TSVECTOR;
CREATE INDEX link_folded ON link (coalesce(folded, name)) WHERE fid IS NOT NULL;
CREATE INDEX link_words ON link USING gin (words) WITH (fastupdate = off) WHERE fid IS NOT NULL;
