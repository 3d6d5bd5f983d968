-- name: snapshot
-- One row per object: a key that people can read, and all that makes the object what it is, in words that PostgreSQL 15 and
-- 18 print alike. Run with an empty search_path, so that every name is qualified.
WITH schemas AS (
  SELECT n.oid, n.nspname, n.nspowner, n.nspacl
  FROM pg_namespace n
  WHERE n.nspname IN ('outreach', 'parts', 'analytics', 'ops', 'staging')
),
-- Partitions and staging tables come and go with the data: they are judged apart, not listed.
relations AS (
  SELECT c.*, s.nspname, quote_ident(s.nspname) || '.' || quote_ident(c.relname) AS name
  FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace
  WHERE s.nspname NOT IN ('parts', 'staging') AND NOT c.relispartition
),
routines AS (
  SELECT p.*, s.nspname,
         CASE p.prokind WHEN 'p' THEN 'procedure ' ELSE 'function ' END
         || quote_ident(s.nspname) || '.' || quote_ident(p.proname)
         || '(' || pg_get_function_identity_arguments(p.oid) || ')' AS key
  FROM pg_proc p JOIN schemas s ON s.oid = p.pronamespace
  WHERE NOT EXISTS (
    SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
  )
),
privileges AS (
  SELECT 'schema ' || quote_ident(s.nspname) AS object, s.nspowner AS owner,
         coalesce(s.nspacl, acldefault('n', s.nspowner)) AS acl
  FROM schemas s
  UNION ALL
  SELECT CASE r.relkind WHEN 'S' THEN 'sequence ' WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' ELSE 'table ' END
         || r.name, r.relowner,
         coalesce(r.relacl, acldefault(CASE r.relkind WHEN 'S' THEN 's'::"char" ELSE 'r'::"char" END, r.relowner))
  FROM relations r WHERE r.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
  UNION ALL
  SELECT 'column ' || r.name || '.' || quote_ident(a.attname), r.relowner, a.attacl
  FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid
  WHERE a.attacl IS NOT NULL AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT f.key, f.proowner, coalesce(f.proacl, acldefault('f', f.proowner))
  FROM routines f
),
-- PostgreSQL 16 stopped to qualify columns where one table is read, so qualifiers are left out of what is hashed.
bodies AS (
  SELECT f.oid, md5(coalesce(
           regexp_replace(regexp_replace(pg_get_function_sqlbody(f.oid), '\m"?\w+"?\.(?=["\w])', '', 'g'), '[ \n\t]+', ' ', 'g'),
           f.prosrc || coalesce(f.probin, ''))) AS hash
  FROM routines f
),
definitions AS (
  SELECT r.oid, md5(regexp_replace(regexp_replace(pg_get_viewdef(r.oid), '\m"?\w+"?\.(?=["\w])', '', 'g'), '[ \n\t]+', ' ', 'g'))
         AS hash
  FROM relations r WHERE r.relkind IN ('v', 'm')
),
parents AS (
  SELECT r.oid, r.name, r.relowner FROM relations r WHERE r.relkind = 'p'
),
children AS (
  SELECT p.name AS parent, p.oid AS parent_oid, p.relowner AS parent_owner, i.inhdetachpending, c.oid, c.relowner,
         c.relacl, c.oid::regclass::text AS name
  FROM parents p JOIN pg_inherits i ON i.inhparent = p.oid JOIN pg_class c ON c.oid = i.inhrelid
),
-- What a partition must inherit but PostgreSQL does not insist on.
unsound AS (
  SELECT c.parent, c.name || ' lacks a valid ' || x.indexrelid::regclass AS complaint
  FROM children c JOIN pg_index x ON x.indrelid = c.parent_oid
  WHERE NOT EXISTS (
    SELECT FROM pg_index y JOIN pg_inherits h ON h.inhrelid = y.indexrelid
    WHERE y.indrelid = c.oid AND h.inhparent = x.indexrelid AND y.indisvalid
  )
  UNION ALL
  SELECT c.parent, c.name || ' has an index of its own, ' || y.indexrelid::regclass
  FROM children c JOIN pg_index y ON y.indrelid = c.oid
  WHERE NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = y.indexrelid)
  UNION ALL
  SELECT c.parent, c.name || ' is open to ' || CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END
  FROM children c, aclexplode(c.relacl) a WHERE a.grantee <> c.relowner
  UNION ALL
  SELECT c.parent, c.name || ' belongs to ' || pg_get_userbyid(c.relowner)
  FROM children c WHERE c.relowner <> c.parent_owner
  UNION ALL
  SELECT c.parent, c.name || ' is half detached' FROM children c WHERE c.inhdetachpending
)
SELECT 'schema ' || quote_ident(s.nspname) AS key, 'owner ' || pg_get_userbyid(s.nspowner) AS text
FROM schemas s

UNION ALL
SELECT 'extension ' || e.extname, 'installed'
FROM pg_extension e WHERE e.extname IN ('pg_trgm', 'btree_gin')

UNION ALL
SELECT 'role ' || o.rolname,
       concat_ws(' ',
         CASE WHEN o.rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END,
         CASE WHEN o.rolsuper THEN 'SUPERUSER' ELSE 'NOSUPERUSER' END,
         CASE WHEN o.rolbypassrls THEN 'BYPASSRLS' ELSE 'NOBYPASSRLS' END,
         CASE WHEN o.rolcreaterole THEN 'CREATEROLE' ELSE 'NOCREATEROLE' END,
         CASE WHEN o.rolcreatedb THEN 'CREATEDB' ELSE 'NOCREATEDB' END,
         CASE WHEN o.rolreplication THEN 'REPLICATION' ELSE 'NOREPLICATION' END,
         'member of', coalesce((
           SELECT string_agg(DISTINCT g.rolname, ', ' ORDER BY g.rolname)
           FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
           WHERE m.member = o.oid AND g.rolname <> 'pg_monitor'), 'nothing'))
FROM pg_roles o
WHERE o.rolname IN ('outreachdb_owner', 'outreachdb_app', 'outreachdb_trusted', 'outreachdb_reader')

UNION ALL
SELECT CASE r.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'f' THEN 'foreign table ' ELSE 'table '
       END || r.name,
       concat_ws(', ',
         CASE WHEN r.relpersistence = 'u' THEN 'unlogged' END,
         CASE WHEN r.relkind = 'p' THEN 'partitioned by ' || pg_get_partkeydef(r.oid) END,
         'owner ' || pg_get_userbyid(r.relowner),
         'with ' || (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(r.reloptions) o),
         'definition ' || d.hash,
         CASE WHEN r.relkind = 'm' AND NOT r.relispopulated THEN 'never filled' END)
FROM relations r LEFT JOIN definitions d ON d.oid = r.oid
WHERE r.relkind IN ('r', 'p', 'v', 'm', 'f')

UNION ALL
SELECT 'column ' || r.name || '.' || quote_ident(a.attname),
       concat_ws(' ',
         format_type(a.atttypid, a.atttypmod),
         CASE WHEN a.attcollation <> t.typcollation THEN 'collate ' || a.attcollation::regcollation END,
         CASE WHEN a.attnotnull THEN 'not null' END,
         CASE a.attidentity WHEN 'a' THEN 'identity always' WHEN 'd' THEN 'identity by default' END,
         CASE a.attgenerated WHEN '' THEN 'default ' || pg_get_expr(b.adbin, b.adrelid)
              WHEN 's' THEN 'generated stored ' || pg_get_expr(b.adbin, b.adrelid)
              ELSE 'generated virtual ' || pg_get_expr(b.adbin, b.adrelid) END)
FROM relations r
JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef b ON b.adrelid = r.oid AND b.adnum = a.attnum
WHERE r.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')

UNION ALL
SELECT 'constraint ' || r.name || '.' || quote_ident(k.conname), pg_get_constraintdef(k.oid)
FROM pg_constraint k JOIN relations r ON r.oid = k.conrelid
-- PostgreSQL 18 lists NOT NULL here as well; the column says it already.
WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND k.conparentid = 0

UNION ALL
SELECT 'index ' || r.name,
       concat_ws(' ', pg_get_indexdef(r.oid), CASE WHEN NOT x.indisvalid THEN 'INVALID' END,
                 CASE WHEN NOT x.indisready THEN 'NOT READY' END, CASE WHEN x.indisclustered THEN 'CLUSTERED' END,
                 CASE WHEN x.indisreplident THEN 'REPLICA IDENTITY' END)
FROM relations r JOIN pg_index x ON x.indexrelid = r.oid
WHERE r.relkind IN ('i', 'I')

UNION ALL
SELECT 'row security ' || r.name,
       CASE WHEN r.relrowsecurity THEN 'enabled' ELSE 'disabled' END
       || CASE WHEN r.relforcerowsecurity THEN ', forced' ELSE '' END
FROM relations r WHERE r.relkind IN ('r', 'p')

UNION ALL
SELECT 'policy ' || r.name || ' ' || quote_ident(p.polname),
       concat_ws(' ',
         CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END,
         'for', CASE p.polcmd WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update' WHEN 'd' THEN 'delete'
                ELSE 'all' END,
         'to', (SELECT string_agg(CASE o WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(o) END, ', ' ORDER BY pg_get_userbyid(o))
                FROM unnest(p.polroles) o),
         'using ' || pg_get_expr(p.polqual, p.polrelid), 'check ' || pg_get_expr(p.polwithcheck, p.polrelid))
FROM pg_policy p JOIN relations r ON r.oid = p.polrelid

UNION ALL
SELECT 'trigger ' || r.name || ' ' || quote_ident(g.tgname),
       pg_get_triggerdef(g.oid) || CASE g.tgenabled WHEN 'O' THEN '' ELSE ' (enabled: ' || g.tgenabled::text || ')' END
FROM pg_trigger g JOIN relations r ON r.oid = g.tgrelid
WHERE NOT g.tgisinternal

UNION ALL
SELECT 'rule ' || r.name || ' ' || quote_ident(w.rulename), md5(pg_get_ruledef(w.oid))
FROM pg_rewrite w JOIN relations r ON r.oid = w.ev_class
WHERE w.rulename <> '_RETURN'

UNION ALL
SELECT 'statistics ' || quote_ident(s.nspname) || '.' || quote_ident(e.stxname), pg_get_statisticsobjdef(e.oid)
FROM pg_statistic_ext e JOIN schemas s ON s.oid = e.stxnamespace

UNION ALL
SELECT 'sequence ' || r.name,
       concat_ws(' ', format_type(q.seqtypid, NULL), 'start', q.seqstart, 'increment', q.seqincrement, 'from', q.seqmin,
         'to', q.seqmax, 'cache', q.seqcache, CASE WHEN q.seqcycle THEN 'cycle' END,
         'owned by ' || (SELECT o.name || '.' || quote_ident(a.attname) FROM pg_depend d
                         JOIN relations o ON o.oid = d.refobjid
                         JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                         WHERE d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.deptype IN ('a', 'i')))
FROM relations r JOIN pg_sequence q ON q.seqrelid = r.oid

UNION ALL
SELECT 'type ' || t.oid::regtype,
       concat_ws(' ', CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range' ELSE 'composite' END,
         CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END,
         (SELECT string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid),
         (SELECT string_agg(pg_get_constraintdef(k.oid), ' ' ORDER BY k.conname) FROM pg_constraint k
          WHERE k.contypid = t.oid AND k.contype = 'c'))
FROM pg_type t JOIN schemas s ON s.oid = t.typnamespace
WHERE t.typtype IN ('e', 'd', 'r')
   OR (t.typtype = 'c' AND EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))

UNION ALL
SELECT f.key,
       concat_ws(' ',
         '(' || pg_get_function_arguments(f.oid) || ')',
         'returns ' || pg_get_function_result(f.oid),
         'language', l.lanname,
         CASE f.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END,
         CASE WHEN f.proisstrict THEN 'strict' END,
         CASE f.proparallel WHEN 's' THEN 'parallel safe' WHEN 'r' THEN 'parallel restricted' ELSE 'parallel unsafe' END,
         CASE WHEN f.proleakproof THEN 'leakproof' END,
         CASE WHEN f.prosecdef THEN 'security definer' ELSE 'security invoker' END,
         'cost', f.procost, 'rows', f.prorows,
         'set ' || (SELECT string_agg(o, '; ' ORDER BY o) FROM unnest(f.proconfig) o),
         'owner', pg_get_userbyid(f.proowner),
         'body', b.hash)
FROM routines f JOIN pg_language l ON l.oid = f.prolang JOIN bodies b ON b.oid = f.oid

UNION ALL
SELECT 'grant ' || p.object || ' to ' || CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
       string_agg(a.privilege_type || CASE WHEN a.is_grantable THEN ' with grant option' ELSE '' END, ', '
                  ORDER BY a.privilege_type)
FROM privileges p, aclexplode(p.acl) a
WHERE a.grantee <> p.owner
GROUP BY p.object, a.grantee

UNION ALL
SELECT 'partitions ' || p.name,
       coalesce((SELECT string_agg(u.complaint, '; ' ORDER BY u.complaint) FROM unsound u WHERE u.parent = p.name), 'sound')
FROM parents p

UNION ALL
-- A detached month may wait in parts for its archive; anything else there is nobody's.
SELECT CASE c.relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'S' THEN 'sequence ' ELSE 'table ' END
       || c.oid::regclass, 'owner ' || pg_get_userbyid(c.relowner)
FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace
WHERE s.nspname = 'parts' AND c.relkind NOT IN ('i', 'I', 't', 'c')
  AND NOT EXISTS (SELECT FROM children k WHERE k.oid = c.oid)
  AND NOT EXISTS (
    SELECT FROM parents p JOIN pg_class m ON m.oid = p.oid
    WHERE c.relkind = 'r' AND c.relname ~ ('^' || m.relname || '_\d{4}_\d{2}$')
  )

UNION ALL
SELECT CASE c.relkind WHEN 'v' THEN 'view ' ELSE 'materialized view ' END || c.oid::regclass,
       'owner ' || pg_get_userbyid(c.relowner)
FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace
WHERE s.nspname = 'staging' AND c.relkind IN ('v', 'm')
