-- Version 14. What Lustre itself tells of a file, as far as `stat` can ask it; NULL: not known, or not on Lustre. layout
-- and hsm are words: `raid0 pfl`, `exists archived`.
ALTER TABLE object ADD COLUMN mdt INTEGER;
ALTER TABLE object ADD COLUMN stripe_count INTEGER;
ALTER TABLE object ADD COLUMN stripe_size INTEGER;
ALTER TABLE object ADD COLUMN mirror_count INTEGER;
ALTER TABLE object ADD COLUMN projid INTEGER;
ALTER TABLE object ADD COLUMN pool TEXT;
ALTER TABLE object ADD COLUMN layout TEXT;
ALTER TABLE object ADD COLUMN hsm TEXT;
