-- Version 12. Whose file a pending row is about, as far as `stat` has seen it: owners take turns in a queue. What is built
-- in works for files of any owner at once, and has none.
ALTER TABLE pending ADD COLUMN owner BIGINT;
UPDATE pending SET owner = (SELECT uid FROM object WHERE object.fid = pending.fid)
  WHERE extractor NOT IN ('stat', 'heal', 'scan');
CREATE INDEX pending_owner ON pending (queue, priority, extractor, owner, due_ns) WHERE owner IS NOT NULL;
