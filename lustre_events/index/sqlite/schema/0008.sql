-- Version 8. Numbers without a type: integers of 64 bits stay exact. What text says, as a number and as a time (ns
-- since the epoch). database.py then makes the search rows anew: words are compared without accents from here on.
DROP TABLE number;
CREATE TABLE number (key INTEGER NOT NULL, value NOT NULL, object INTEGER NOT NULL,
  PRIMARY KEY (key, value, object)) WITHOUT ROWID;
CREATE TABLE text_number (key INTEGER NOT NULL, value NOT NULL, object INTEGER NOT NULL,
  PRIMARY KEY (key, value, object)) WITHOUT ROWID;
CREATE TABLE text_time (key INTEGER NOT NULL, value INTEGER NOT NULL, object INTEGER NOT NULL,
  PRIMARY KEY (key, value, object)) WITHOUT ROWID;
