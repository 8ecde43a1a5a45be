-- Version 5. A column of the to-do list says one thing each. `first_ns` was the first change, or the time of handing
-- out (`heal` and `scan`), or since when the object was gone; `rule` was also "<scan>/<percent-encoded name>".
DROP INDEX pending_scan;
DROP INDEX pending_asked;
ALTER TABLE pending RENAME COLUMN first_ns TO changed_ns;                -- the first change that it stands for: bounds settling
ALTER TABLE pending ADD COLUMN handed_out_ns INTEGER NOT NULL DEFAULT 0; -- when a job took it last; 0: never
ALTER TABLE pending ADD COLUMN gone_ns INTEGER NOT NULL DEFAULT 0;       -- since when the object is gone; 0: it is not
ALTER TABLE pending ADD COLUMN scan INTEGER NOT NULL DEFAULT 0;          -- the scan that a listing is part of; 0: of none
ALTER TABLE pending ADD COLUMN after BLOB NOT NULL DEFAULT x'';          -- up to which name a directory is listed
UPDATE pending SET handed_out_ns = changed_ns WHERE extractor IN ('heal', 'scan') AND job IS NOT NULL;
UPDATE pending SET gone_ns = changed_ns WHERE extractor = 'stat' AND reason = 'gone';
UPDATE pending SET scan = CAST(rule AS INTEGER), rule = '',
  after = CASE WHEN instr(rule, '/') THEN le_unquoted(substr(rule, instr(rule, '/') + 1)) ELSE x'' END
  WHERE extractor = 'scan';
CREATE INDEX pending_scan ON pending (scan) WHERE extractor = 'scan';
CREATE INDEX pending_asked ON pending (handed_out_ns) WHERE extractor IN ('heal', 'scan') AND job IS NOT NULL;
