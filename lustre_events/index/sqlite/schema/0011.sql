-- Version 11. Why the last try of pending work failed.
ALTER TABLE pending ADD COLUMN error TEXT NOT NULL DEFAULT '';
