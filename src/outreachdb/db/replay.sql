-- name: is_recorded
SELECT to_regclass('ops.routine_files') IS NOT NULL AND to_regclass('ops.routine_objects') IS NOT NULL;

-- name: known_files
SELECT room, sha256 FROM ops.routine_files;

-- name: record_file
INSERT INTO ops.routine_files (room, sha256, installed_at) VALUES (%(room)s, %(sha256)s, clock_timestamp())
ON CONFLICT (room) DO UPDATE SET sha256 = excluded.sha256, installed_at = excluded.installed_at
RETURNING xmin::text;

-- name: forget_file
DELETE FROM ops.routine_files WHERE room = %(room)s;

-- name: forget_objects
DELETE FROM ops.routine_objects WHERE room = %(room)s;

-- name: forget_all
WITH objects AS (DELETE FROM ops.routine_objects) DELETE FROM ops.routine_files;

-- name: record_object
INSERT INTO ops.routine_objects (room, kind, identity) VALUES (%(room)s, %(kind)s, %(identity)s);

-- name: existing
SELECT kind, identity FROM (
  SELECT CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END AS kind,
         (pg_identify_object('pg_proc'::regclass, p.oid, 0)).identity AS identity
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
  WHERE n.nspname IN ('outreach', 'parts', 'analytics', 'ops', 'staging')
  UNION ALL
  SELECT 'VIEW', (pg_identify_object('pg_class'::regclass, c.oid, 0)).identity
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = 'v' AND n.nspname IN ('outreach', 'parts', 'analytics', 'ops', 'staging')
) objects;

-- name: made_by
SELECT kind, identity FROM (
  SELECT CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END AS kind,
         (pg_identify_object('pg_proc'::regclass, p.oid, 0)).identity AS identity
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
  WHERE p.xmin::text = %(xmin)s AND n.nspname NOT LIKE 'pg\_%%'
  UNION ALL
  SELECT 'VIEW', (pg_identify_object('pg_class'::regclass, c.oid, 0)).identity
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_rewrite r ON r.ev_class = c.oid
  WHERE %(xmin)s IN (c.xmin::text, r.xmin::text) AND c.relkind = 'v' AND n.nspname NOT LIKE 'pg\_%%'
) objects
ORDER BY 1, 2;

-- name: room_objects
-- Views first, newest first: mostly the order in which they can be dropped.
SELECT o.kind, o.identity
FROM ops.routine_objects o
CROSS JOIN LATERAL (
  SELECT p.oid FROM pg_proc p WHERE o.kind <> 'VIEW' AND p.oid = to_regprocedure(o.identity)
  UNION ALL
  SELECT c.oid FROM pg_class c WHERE o.kind = 'VIEW' AND c.oid = to_regclass(o.identity)
) live
WHERE o.room = %(room)s
ORDER BY (o.kind = 'VIEW') DESC, live.oid DESC;

-- name: all_objects
SELECT o.kind, o.identity
FROM ops.routine_objects o
CROSS JOIN LATERAL (
  SELECT p.oid FROM pg_proc p WHERE o.kind <> 'VIEW' AND p.oid = to_regprocedure(o.identity)
  UNION ALL
  SELECT c.oid FROM pg_class c WHERE o.kind = 'VIEW' AND c.oid = to_regclass(o.identity)
) live
ORDER BY (o.kind = 'VIEW') DESC, live.oid DESC;

-- name: grantees
SELECT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END, count(*)
FROM (
  SELECT p.proacl AS acl, p.proowner AS owner FROM pg_proc p
  WHERE %(kind)s <> 'VIEW' AND p.oid = to_regprocedure(%(identity)s)
  UNION ALL
  SELECT c.relacl, c.relowner FROM pg_class c
  WHERE %(kind)s = 'VIEW' AND c.oid = to_regclass(%(identity)s)
) o, aclexplode(o.acl) a
WHERE a.grantee <> o.owner
GROUP BY 1;

-- name: definers
SELECT CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
       (pg_identify_object('pg_proc'::regclass, p.oid, 0)).identity
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.prosecdef AND n.nspname IN ('outreach', 'parts', 'analytics', 'ops', 'staging');
