-- Version 5. A column of the to-do list says one thing each. `first_ns` was the first change, or the time of handing
-- out (`heal` and `scan`), or since when the object was gone; `rule` was also "<scan>/<percent-encoded name>".
DROP INDEX pending_scan;
DROP INDEX pending_asked;
ALTER TABLE pending RENAME COLUMN first_ns TO changed_ns;               -- the first change that it stands for: bounds settling
ALTER TABLE pending ADD COLUMN handed_out_ns BIGINT NOT NULL DEFAULT 0; -- when a job took it last; 0: never
ALTER TABLE pending ADD COLUMN gone_ns BIGINT NOT NULL DEFAULT 0;       -- since when the object is gone; 0: it is not
ALTER TABLE pending ADD COLUMN scan BIGINT NOT NULL DEFAULT 0;          -- the scan that a listing is part of; 0: of none
ALTER TABLE pending ADD COLUMN after BYTEA NOT NULL DEFAULT '';         -- up to which name a directory is listed
UPDATE pending SET handed_out_ns = changed_ns WHERE extractor IN ('heal', 'scan') AND job IS NOT NULL;
UPDATE pending SET gone_ns = changed_ns WHERE extractor = 'stat' AND reason = 'gone';
UPDATE pending SET scan = coalesce(substring(rule FROM '^[0-9]{1,18}'), '0')::BIGINT, rule = '',
  after = coalesce((
    SELECT string_agg(coalesce(decode(m[1], 'hex'), convert_to(m[2], 'UTF8')), '' ORDER BY n)
    FROM regexp_matches(split_part(rule, '/', 2), '%([0-9A-F]{2})|([^%]+)', 'g') WITH ORDINALITY AS part (m, n)
  ), '')
  WHERE extractor = 'scan';
CREATE INDEX pending_scan ON pending (scan) WHERE extractor = 'scan';
CREATE INDEX pending_asked ON pending (handed_out_ns) WHERE extractor IN ('heal', 'scan') AND job IS NOT NULL;
