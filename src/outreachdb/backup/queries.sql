-- name: database
SELECT pg_catalog.current_database() AS name, pg_catalog.current_setting('server_version_num')::integer AS version,
       pg_catalog.pg_encoding_to_char(d.encoding) AS encoding, d.datcollate AS lc_collate, d.datctype AS lc_ctype,
       d.datlocprovider::text AS provider,
       coalesce(pg_catalog.to_jsonb(d) ->> 'datlocale', pg_catalog.to_jsonb(d) ->> 'daticulocale') AS locale,
       (SELECT c.system_identifier::text FROM pg_catalog.pg_control_system() AS c) AS identifier,
       r.rolsuper AS superuser, r.rolcreatedb OR r.rolsuper AS may_create, pg_catalog.pg_database_size(d.oid) AS bytes
FROM pg_catalog.pg_database AS d, pg_catalog.pg_roles AS r
WHERE d.datname = pg_catalog.current_database() AND r.rolname = current_user;

-- name: export_snapshot
SELECT pg_catalog.pg_export_snapshot() AS snapshot;

-- name: tables
-- Tables with rows of their own, largest first; hidden: row-level security would keep rows from this login.
SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS name,
       pg_catalog.row_security_active(c.oid) AS hidden
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend AS d
      WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY pg_catalog.pg_relation_size(c.oid) DESC, name;

-- name: extensions
SELECT e.extname AS name, e.extversion AS version FROM pg_catalog.pg_extension AS e WHERE e.extname <> 'plpgsql';

-- name: roles
-- Whoever owns something in this database or was granted something in it, and what those are members of.
WITH RECURSIVE named (role) AS (
    SELECT d.refobjid
    FROM pg_catalog.pg_shdepend AS d
    WHERE d.refclassid = 'pg_catalog.pg_authid'::regclass
      AND d.dbid = (SELECT b.oid FROM pg_catalog.pg_database AS b WHERE b.datname = pg_catalog.current_database())
    UNION
    SELECT c.relowner
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    UNION
    SELECT m.roleid FROM named AS r JOIN pg_catalog.pg_auth_members AS m ON m.member = r.role
)
SELECT r.rolname AS name, r.rolcanlogin AS login, r.rolinherit AS inherit, r.rolsuper OR r.rolcreaterole
           OR r.rolcreatedb OR r.rolbypassrls OR r.rolreplication AS special,
       ARRAY(SELECT g.rolname::text
             FROM pg_catalog.pg_auth_members AS m
             JOIN pg_catalog.pg_roles AS g ON g.oid = m.roleid
             WHERE m.member = r.oid
             ORDER BY 1) AS member_of
FROM named AS d
JOIN pg_catalog.pg_roles AS r ON r.oid = d.role
WHERE r.rolname !~ '^pg_'
ORDER BY r.rolname;

-- name: revision_table
-- Asked of the catalogue: a database need not be ours.
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_class AS c
    WHERE c.relname = 'alembic_version' AND c.relnamespace = (SELECT n.oid FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'ops')
) AS ours;

-- name: revision
SELECT v.version_num AS revision FROM ops.alembic_version AS v;

-- name: record
SELECT outreach.record_backup(
    %(kind)s, %(tool)s, %(place)s, %(started_at)s::timestamptz, %(details)s::jsonb) AS id;

-- name: verified
UPDATE ops.maintenance_runs AS m
SET details = m.details || pg_catalog.jsonb_build_object('verified_at', pg_catalog.clock_timestamp())
WHERE m.job = 'backup' AND m.details ->> 'place' = %(place)s;

-- name: database_exists
SELECT EXISTS (SELECT FROM pg_catalog.pg_database AS d WHERE d.datname = %(name)s) AS found;

-- name: contents_of_database
-- What stands in a database beside what PostgreSQL puts into each, and beside extensions (a new embedded one has
-- pg_stat_statements): 0 is empty.
SELECT (SELECT count(*) FROM pg_catalog.pg_namespace AS n
        WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'public')
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_extension AS e WHERE e.extnamespace = n.oid))
     + (SELECT count(*) FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                          WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')) AS objects;

-- name: is_member
SELECT pg_catalog.pg_has_role(current_user, %(role)s, 'MEMBER')
       AND pg_catalog.pg_has_role(current_user, %(role)s, 'USAGE') AS ok;

-- name: missing_roles
SELECT r.name
FROM pg_catalog.unnest(%(names)s::text[]) AS r (name)
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS x WHERE x.rolname = r.name);
