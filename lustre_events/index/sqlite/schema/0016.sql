-- Version 16. Which guard holds a rule; '': a person does, or nobody knows. What a guard holds of a user's own rule,
-- that user may release.
ALTER TABLE hold ADD COLUMN guard TEXT NOT NULL DEFAULT '';
