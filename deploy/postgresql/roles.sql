-- Roles for the index in PostgreSQL. As the superuser, once:
--
--   psql -v ON_ERROR_STOP=1 -v dbname=lustre_events -f roles.sql
--
-- lustre_events owns the database and is the dispatcher; lustre_events_search only reads (web console, searches of
-- users, the site's own SQL); lustre_events_indexer writes documents ([index] indexers). Set their passwords with
-- \password, or let pg_hba.conf identify them. Running it again changes nothing, but once the dispatcher has made the
-- tables it gives indexers their rights.
SELECT 'CREATE ROLE lustre_events LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lustre_events') \gexec
SELECT 'CREATE ROLE lustre_events_search LOGIN'
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lustre_events_search') \gexec
SELECT 'CREATE ROLE lustre_events_indexer LOGIN'
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'lustre_events_indexer') \gexec
SELECT format('CREATE DATABASE %I OWNER lustre_events', :'dbname')
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'dbname') \gexec
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', :'dbname') \gexec
SELECT format('GRANT CONNECT ON DATABASE %I TO lustre_events_search, lustre_events_indexer', :'dbname') \gexec
\connect :dbname
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO lustre_events;
GRANT USAGE ON SCHEMA public TO lustre_events_search, lustre_events_indexer;
-- All tables that the dispatcher has made or will make.
GRANT SELECT ON ALL TABLES IN SCHEMA public TO lustre_events_search;
ALTER DEFAULT PRIVILEGES FOR ROLE lustre_events IN SCHEMA public GRANT SELECT ON TABLES TO lustre_events_search;
-- What an indexer needs: it locks objects, for which it must be allowed to change a column of them, and writes documents.
SELECT format('GRANT %s ON %I TO lustre_events_indexer', rights, name)
  FROM (VALUES ('SELECT', 'meta'), ('SELECT, UPDATE (jobid)', 'object'), ('SELECT', 'pending'), ('SELECT', 'extractor'),
               ('SELECT, INSERT, UPDATE', 'document'), ('SELECT, INSERT', 'key'), ('SELECT, INSERT, DELETE', 'number'),
               ('SELECT, INSERT, DELETE', 'word'), ('SELECT, INSERT, DELETE', 'part'),
               ('SELECT, INSERT, DELETE', 'text_number'), ('SELECT, INSERT, DELETE', 'text_time'),
               ('SELECT, INSERT, DELETE', 'fulltext'), ('SELECT, INSERT', 'outcome')) AS wanted (rights, name)
 WHERE to_regclass(name) IS NOT NULL \gexec
-- The dispatcher ends the session of an indexer that has stopped and keeps locks; it owns the tables anyway.
GRANT lustre_events_indexer TO lustre_events;
-- A search may not go on for ever, nor change anything by accident.
ALTER ROLE lustre_events_search SET default_transaction_read_only = on;
ALTER ROLE lustre_events_search SET statement_timeout = '60s';
-- Nor may it keep the dispatcher out: these bounds it cannot lift. Sessions are those of all consoles and users.
SELECT format('ALTER ROLE lustre_events_search CONNECTION LIMIT %s', setting::int * 6 / 10)
  FROM pg_settings WHERE name = 'max_connections' \gexec
ALTER ROLE lustre_events_search SET temp_file_limit = '2GB';
-- Large objects, which anybody may make, and which fill the disk; the index has none.
REVOKE EXECUTE ON FUNCTION lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea) FROM PUBLIC;
-- Messages in the log of changes, which anybody may write without end, and which fill its disk and its archive; and
-- advisory locks, which fill the table of locks that all sessions of the server share. The index has neither.
SELECT format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', oid::regprocedure)
  FROM pg_proc WHERE proname = 'pg_logical_emit_message' OR proname ~ '^pg_(try_)?advisory_' \gexec
