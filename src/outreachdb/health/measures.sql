-- What health asks a database of any kind: who is asking, what is there, how much of the disk it takes.

-- name: about
SELECT
    current_database() AS database, current_setting('server_version') AS version, clock_timestamp() AS as_of,
    current_user AS role, pg_is_in_recovery() AS standby,
    pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS reads_statistics,
    (
        SELECT coalesce(jsonb_object_agg(e.extname, format('%I', n.nspname)), '{}')
        FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
    ) AS extensions

-- name: tables
-- A policy that lets this role see every row is one whose condition is true.
SELECT
    w.name AS name,
    CASE
        WHEN c.oid IS NULL THEN 'absent'
        WHEN NOT has_schema_privilege(n.oid, 'USAGE') OR NOT has_table_privilege(c.oid, 'SELECT') THEN 'closed'
        WHEN c.relrowsecurity AND row_security_active(c.oid) AND NOT EXISTS (
            SELECT FROM pg_policy AS p
            WHERE
                p.polrelid = c.oid AND p.polcmd IN ('*', 'r') AND pg_get_expr(p.polqual, p.polrelid) = 'true'
                AND EXISTS (
                    SELECT FROM unnest(p.polroles) AS r (oid) WHERE r.oid = 0 OR pg_has_role(current_user, r.oid, 'USAGE')
                )
        ) THEN 'filtered'
        ELSE 'open'
    END AS state
FROM unnest(%(names)s::text[]) AS w (name)
LEFT JOIN pg_namespace AS n ON n.nspname = split_part(w.name, '.', 1)
LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = split_part(w.name, '.', 2)

-- name: storage
SELECT
    CASE WHEN pg_has_role(current_user, 'pg_read_all_settings', 'USAGE') THEN current_setting('data_directory') END AS folder,
    extract(epoch FROM pg_postmaster_start_time())::float8 AS started,
    (
        SELECT sum(CASE WHEN has_database_privilege(d.oid, 'CONNECT') OR pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
            THEN pg_database_size(d.oid) END)
        FROM pg_database AS d
    )::bigint AS bytes
