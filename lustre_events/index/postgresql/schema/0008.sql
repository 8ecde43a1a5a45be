-- Version 8. Numbers exact to 64 bits. What text says, as a number and as a time (ns since the epoch). database.py
-- then makes the search rows anew: words are compared without accents from here on.
ALTER TABLE number ALTER COLUMN value TYPE NUMERIC;
CREATE TABLE text_number (
  value NUMERIC NOT NULL, object BIGINT NOT NULL, key INTEGER NOT NULL,
  PRIMARY KEY (key, value, object)
);
CREATE INDEX text_number_object ON text_number (object, key, value);
CREATE TABLE text_time (
  value BIGINT NOT NULL, object BIGINT NOT NULL, key INTEGER NOT NULL,
  PRIMARY KEY (key, value, object)
);
CREATE INDEX text_time_object ON text_time (object, key, value);
