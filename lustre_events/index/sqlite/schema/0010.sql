-- Version 10. Who a key was made for: each owner of files may have a limited number of one extractor. database.py then makes the
-- search rows, and the keys with them, anew.
ALTER TABLE key ADD COLUMN owner INTEGER NOT NULL DEFAULT -1;
CREATE INDEX key_owner ON key (extractor, owner);
