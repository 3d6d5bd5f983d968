-- name: server_limits
-- What limits the connections of this login and this database. -1 in the catalogue is no limit.
SELECT pg_catalog.current_setting('max_connections')::integer AS max_connections,
       pg_catalog.current_setting('superuser_reserved_connections')::integer
           + coalesce(nullif(pg_catalog.current_setting('reserved_connections', true), '')::integer, 0) AS reserved,
       CASE WHEN r.rolconnlimit >= 0 AND NOT r.rolsuper THEN r.rolconnlimit END AS login_limit,
       CASE WHEN d.datconnlimit >= 0 THEN d.datconnlimit END AS database_limit,
       r.rolname AS login
FROM pg_catalog.pg_roles AS r, pg_catalog.pg_database AS d
WHERE r.rolname = session_user AND d.datname = pg_catalog.current_database();

-- name: secret_of_login
-- The stored form of the login's password; only administrators may read it.
SELECT a.rolpassword AS secret FROM pg_catalog.pg_authid AS a WHERE a.rolname = session_user;
