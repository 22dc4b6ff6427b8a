-- What only the owner asks: the record of which migrations this database has seen. The table has the
-- name and the first column that dbmate uses, so either tool can take over from the other.

-- name: lock_migrations()$
-- Let one process at a time migrate this database, until its transaction ends.
SELECT pg_advisory_xact_lock(hashtext('aqkol_migrations'));

-- name: make_migration_record()#
-- Make the record if it is not there, and give one that dbmate made our columns.
CREATE TABLE IF NOT EXISTS schema_migrations (version varchar(128) PRIMARY KEY);
ALTER TABLE schema_migrations ADD COLUMN IF NOT EXISTS digest bytea;
ALTER TABLE schema_migrations ADD COLUMN IF NOT EXISTS applied_at timestamptz DEFAULT now();

-- name: has_migration_record()$
-- Say whether this database was ever migrated.
SELECT to_regclass('public.schema_migrations') IS NOT NULL;

-- name: applied_migrations()
-- Return what was applied, with the digest of the text it had then; dbmate keeps no digest.
SELECT version, decode(substr(to_jsonb(record) ->> 'digest', 3), 'hex') AS digest
FROM schema_migrations AS record
ORDER BY version;

-- name: record_migration(version, digest)!
-- Note that a migration was applied.
INSERT INTO schema_migrations (version, digest) VALUES (:version, :digest);

-- name: close_migration_record()#
-- The service may look at the record and never write it.
REVOKE ALL ON schema_migrations FROM aqkol_service;
GRANT SELECT ON schema_migrations TO aqkol_service;
