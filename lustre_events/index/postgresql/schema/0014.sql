-- Version 14. What Lustre itself tells of a file, as far as `stat` can ask it; NULL: not known, or not on Lustre. layout
-- and hsm are words: `raid0 pfl`, `exists archived`.
ALTER TABLE object ADD COLUMN mdt BIGINT;
ALTER TABLE object ADD COLUMN stripe_count BIGINT;
ALTER TABLE object ADD COLUMN stripe_size BIGINT;
ALTER TABLE object ADD COLUMN mirror_count BIGINT;
ALTER TABLE object ADD COLUMN projid BIGINT;
ALTER TABLE object ADD COLUMN pool TEXT COLLATE "C";
ALTER TABLE object ADD COLUMN layout TEXT COLLATE "C";
ALTER TABLE object ADD COLUMN hsm TEXT COLLATE "C";
