-- Version 7. The generation of the last change that may have taken rights away: until facts are as new, they grant none.
ALTER TABLE object ADD COLUMN rights BIGINT NOT NULL DEFAULT 0;
