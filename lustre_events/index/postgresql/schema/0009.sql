-- Version 9. Actions: the ledger of runs. `data` is the whole run (runs.Run, MessagePack); columns are what is asked for.
CREATE TABLE run (
  id TEXT PRIMARY KEY, key TEXT COLLATE "C" NOT NULL, rule TEXT NOT NULL, trigger TEXT NOT NULL, fid BYTEA NOT NULL,
  state TEXT NOT NULL, due_ns BIGINT NOT NULL, made_ns BIGINT NOT NULL, ended_ns BIGINT NOT NULL,
  place BYTEA NOT NULL, data BYTEA NOT NULL
);
CREATE INDEX run_due ON run (state, rule, due_ns);
CREATE INDEX run_object ON run (fid, rule);
CREATE INDEX run_key ON run (key);
CREATE INDEX run_place ON run (rule, place, made_ns) WHERE place != '';
CREATE INDEX run_ended ON run (ended_ns) WHERE ended_ns > 0;

-- For which content of an object a rule has fired. It lives with the object.
CREATE TABLE fired (
  fid BYTEA NOT NULL, rule TEXT NOT NULL, generation BIGINT NOT NULL, PRIMARY KEY (fid, rule)
);

-- Since when a rule is active: it fires for what happened later.
CREATE TABLE activated (rule TEXT PRIMARY KEY, since_ns BIGINT NOT NULL);

-- Rules and endpoints of which nothing goes out, and why.
CREATE TABLE hold (
  kind TEXT NOT NULL, name TEXT NOT NULL, why TEXT NOT NULL, since_ns BIGINT NOT NULL, PRIMARY KEY (kind, name)
);
