-- name: server
-- What the server is, and where it runs: an address is none over a socket, and its data folder is hidden from most logins.
SELECT pg_catalog.current_setting('server_version_num')::integer AS version,
       pg_catalog.host(pg_catalog.inet_server_addr()) AS address,
       (SELECT s.setting FROM pg_catalog.pg_settings AS s WHERE s.name = 'data_directory') AS data_folder,
       (SELECT c.system_identifier::text FROM pg_catalog.pg_control_system() AS c) AS identifier,
       EXISTS (SELECT FROM pg_catalog.pg_available_extensions AS e WHERE e.name = 'pg_stat_statements') AS has_statements,
       pg_catalog.has_table_privilege('pg_catalog.pg_file_settings', 'SELECT')
       AND pg_catalog.has_function_privilege('pg_catalog.pg_show_all_file_settings()', 'EXECUTE') AS sees_files;

-- name: settings_now
SELECT s.name, s.setting, s.unit, s.vartype, s.context, s.source, s.min_val, s.max_val, s.enumvals, s.pending_restart, s.boot_val,
       pg_catalog.current_setting(s.name) AS shown
FROM pg_catalog.pg_settings AS s
WHERE s.name = ANY (%(names)s);

-- name: waiting
-- What the files say, which is what the next start brings; of a name that stands twice the last holds. Administrators only.
SELECT DISTINCT ON (f.name) f.name, f.setting
FROM pg_catalog.pg_file_settings AS f
WHERE f.name = ANY (%(names)s)
ORDER BY f.name, f.seqno DESC;

-- name: altered
-- What ALTER SYSTEM has set, as its file says; of a name that stands twice the last holds. Administrators only.
SELECT DISTINCT ON (f.name) f.name, f.setting
FROM pg_catalog.pg_file_settings AS f
WHERE f.sourcefile LIKE '%%/postgresql.auto.conf' AND f.name = ANY (%(names)s)
ORDER BY f.name, f.seqno DESC;

-- name: load_time
SELECT pg_catalog.pg_conf_load_time() AS loaded;

-- name: reload
SELECT pg_catalog.pg_reload_conf() AS done;
