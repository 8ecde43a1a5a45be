-- Version 4. Where the records of an epoch begin: 0: not known (all up to the position count).
ALTER TABLE cursor ADD COLUMN first_index INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cursor ADD COLUMN first_ns INTEGER NOT NULL DEFAULT 0;
