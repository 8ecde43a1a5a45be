-- Version 15. What searches do not find, whoever asks: globs of paths from the root on, which the dispatcher writes
-- when it starts (`[filesystem] exclude`). Names and facts stay.
CREATE TABLE left_out (glob TEXT PRIMARY KEY);
