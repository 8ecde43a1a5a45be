-- Version 15. What searches do not find, whoever asks: globs of paths from the root on ([filesystem] exclude), and
-- directories with a file .lustre-events-ignore, whose fid is here, too. The dispatcher writes them. Names and facts stay.
CREATE TABLE left_out (glob TEXT PRIMARY KEY, fid BYTEA);
