-- name: look
-- The table itself. qualified is quoted; bare names stand in public, as tables of our own schema are not adopted.
SELECT c.oid::bigint AS oid, n.nspname AS schema_name, c.relname AS table_name, format('%%I.%%I', n.nspname, c.relname) AS qualified,
       c.relkind = 'p' AS partitioned, greatest(c.reltuples, 0)::bigint AS rows, c.reloptions AS options
FROM parse_ident(%(table)s) AS named (words)
JOIN pg_namespace AS n ON n.nspname = CASE cardinality(words) WHEN 1 THEN 'public' ELSE words[1] END
JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = words[cardinality(words)]
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f');

-- name: key
-- What tells its rows apart: the primary key, else the shortest unique key without NULLs; its columns in order.
SELECT ARRAY(
    SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS u (number, place)
    JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = u.number
    WHERE u.place <= i.indnkeyatts ORDER BY u.place) AS columns
FROM pg_index AS i
WHERE i.indrelid = %(oid)s AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
  AND NOT EXISTS (
      SELECT FROM unnest(i.indkey) WITH ORDINALITY AS u (number, place)
      LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = u.number
      WHERE u.place <= i.indnkeyatts AND a.attnotnull IS NOT TRUE)
ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid
LIMIT 1;

-- name: columns
-- What is copied: generated columns make themselves.
SELECT a.attname FROM pg_attribute AS a
WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum;

-- name: narrow_keys
-- Unique keys without the partition column: a partitioned table can't have them.
SELECT c.relname AS name, ARRAY(
    SELECT pg_get_indexdef(i.indexrelid, k, true) FROM generate_series(1, i.indnkeyatts) AS k) AS columns
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE i.indrelid = %(oid)s AND i.indisunique
  AND NOT EXISTS (
      SELECT FROM unnest(i.indkey) WITH ORDINALITY AS u (number, place)
      JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = u.number
      WHERE u.place <= i.indnkeyatts AND a.attname = %(column)s)
ORDER BY i.indisprimary DESC, c.relname;

-- name: faults
-- Why a table can't be adopted: everything that would be lost, or that PostgreSQL refuses of a partitioned table.
WITH given AS (
    SELECT c.*, n.nspname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = %(oid)s
),
key_column AS (
    SELECT a.* FROM pg_attribute AS a
    WHERE a.attrelid = %(oid)s AND a.attname = %(column)s AND a.attnum > 0 AND NOT a.attisdropped
)
SELECT 'it is ' || CASE relkind WHEN 'p' THEN 'partitioned already: `outreachdb partitions register`' WHEN 'f' THEN 'a foreign table'
                   ELSE 'a view' END AS fault
FROM given WHERE relkind <> 'r'
UNION ALL
SELECT 'it belongs to OutreachDB or to PostgreSQL itself' FROM given
WHERE nspname IN ('outreach', 'parts', 'analytics', 'ops', 'staging', 'information_schema') OR nspname LIKE 'pg\_%%'
UNION ALL
SELECT 'it is ' || CASE relpersistence WHEN 't' THEN 'temporary' ELSE 'unlogged' END FROM given WHERE relpersistence <> 'p'
UNION ALL
SELECT 'it takes part in inheritance' WHERE EXISTS (SELECT FROM pg_inherits WHERE inhrelid = %(oid)s OR inhparent = %(oid)s)
UNION ALL
SELECT 'it is a typed table (OF ' || reloftype::regtype || ')' FROM given WHERE reloftype <> 0
UNION ALL
SELECT format('the column %%s does not exist', %(column)s::text) WHERE NOT EXISTS (SELECT FROM key_column)
UNION ALL
SELECT format('the column %%I is of type %%s; a table is divided by timestamptz, timestamp or date', attname, atttypid::regtype)
FROM key_column WHERE atttypid NOT IN ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype)
UNION ALL
SELECT format('the column %%I is generated', attname) FROM key_column WHERE attgenerated <> ''
UNION ALL
SELECT format('the column %%1$I may be NULL, which no partition takes: ALTER TABLE %%2$I.%%3$I ALTER COLUMN %%1$I SET NOT NULL',
              k.attname, g.nspname, g.relname)
FROM key_column AS k, given AS g WHERE NOT k.attnotnull
UNION ALL
SELECT format('the constraint %%I %%s', k.conname, CASE
           WHEN k.contype = 'x' OR to_jsonb(k) ->> 'conperiod' = 'true' THEN 'excludes overlaps'
           WHEN NOT k.convalidated THEN 'is not validated: ALTER TABLE ... VALIDATE CONSTRAINT first'
           ELSE 'is NO INHERIT' END)
FROM pg_constraint AS k
WHERE k.conrelid = %(oid)s AND (k.contype = 'x' OR to_jsonb(k) ->> 'conperiod' = 'true' OR NOT k.convalidated
      OR k.contype IN ('c', 'n') AND k.connoinherit)
UNION ALL
SELECT format('%%s refers to it (foreign key %%I), which would stop its partitions from leaving: drop that key first', k.conrelid::regclass, k.conname)
FROM pg_constraint AS k WHERE k.confrelid = %(oid)s AND k.contype = 'f'
UNION ALL
SELECT format('the index %%s is invalid: drop or reindex it first', i.indexrelid::regclass) FROM pg_index AS i
WHERE i.indrelid = %(oid)s AND NOT i.indisvalid
UNION ALL
SELECT format('it has the rule %%I', rulename) FROM pg_rewrite AS r, given AS g WHERE r.ev_class = g.oid AND g.relkind = 'r'
UNION ALL
SELECT format('the trigger %%I is FOR EACH ROW with a transition table', tgname) FROM pg_trigger
WHERE tgrelid = %(oid)s AND NOT tgisinternal AND tgtype & 1 = 1 AND (tgnewtable IS NOT NULL OR tgoldtable IS NOT NULL)
UNION ALL
SELECT format('it is in the publication %%I: subscribers would miss its rows', p.pubname)
FROM pg_publication_tables AS p, given AS g WHERE p.schemaname = g.nspname AND p.tablename = g.relname
UNION ALL
SELECT 'it is filled by a subscription' WHERE EXISTS (SELECT FROM pg_subscription_rel WHERE srrelid = %(oid)s)
UNION ALL
SELECT 'its replica identity is not the default' FROM given WHERE relreplident <> 'd'
UNION ALL
SELECT 'it belongs to an extension' WHERE EXISTS (
    SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = %(oid)s AND deptype = 'e')
UNION ALL
SELECT 'it has a security label' WHERE EXISTS (SELECT FROM pg_seclabel WHERE classoid = 'pg_class'::regclass AND objoid = %(oid)s)
UNION ALL
SELECT format('it belongs to %%s, and %%s is no member of that role', pg_get_userbyid(relowner), current_user) FROM given
WHERE NOT pg_has_role(relowner, 'USAGE')
UNION ALL
SELECT format('%%s may not create tables in the schema %%I', current_user, nspname) FROM given WHERE NOT has_schema_privilege(relnamespace, 'CREATE')
UNION ALL
-- Whatever else holds on to the table by its number would go on with the old one.
SELECT DISTINCT format('%%s depends on it: drop it first and make it again afterwards', pg_describe_object(d.classid, d.objid, 0))
FROM given AS g
JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = g.oid
    OR d.refclassid = 'pg_type'::regclass AND d.refobjid IN (SELECT t.oid FROM pg_type AS t WHERE t.oid = g.reltype
        UNION ALL SELECT t.typarray FROM pg_type AS t WHERE t.oid = g.reltype)
    OR d.refclassid = 'pg_constraint'::regclass AND d.refobjid IN (SELECT k.oid FROM pg_constraint AS k WHERE k.conrelid = g.oid)
LEFT JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
LEFT JOIN pg_rewrite AS w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
LEFT JOIN pg_class AS v ON v.oid = w.ev_class
WHERE d.deptype IN ('n', 'a', 'i', 'P', 'S') AND NOT CASE d.classid
    WHEN 'pg_class'::regclass THEN c.relkind IN ('i', 'S', 't')
    WHEN 'pg_constraint'::regclass THEN EXISTS (
        SELECT FROM pg_constraint AS k WHERE k.oid = d.objid AND (k.conrelid = g.oid OR k.confrelid = g.oid))
    WHEN 'pg_attrdef'::regclass THEN EXISTS (SELECT FROM pg_attrdef AS f WHERE f.oid = d.objid AND f.adrelid = g.oid)
    WHEN 'pg_trigger'::regclass THEN EXISTS (SELECT FROM pg_trigger AS t WHERE t.oid = d.objid AND (t.tgrelid = g.oid OR t.tgisinternal))
    WHEN 'pg_policy'::regclass THEN EXISTS (SELECT FROM pg_policy AS p WHERE p.oid = d.objid AND p.polrelid = g.oid)
    WHEN 'pg_statistic_ext'::regclass THEN true
    WHEN 'pg_rewrite'::regclass THEN v.oid = g.oid OR v.relkind = 'v' AND d.refclassid <> 'pg_constraint'::regclass
    WHEN 'pg_type'::regclass THEN d.objid = g.reltype OR d.objid = (SELECT t.typarray FROM pg_type AS t WHERE t.oid = g.reltype)
    WHEN 'pg_publication_rel'::regclass THEN true
    ELSE false
END;

-- name: definition
-- Everything that an adoption keeps, one line each, so that a change in the middle of it is seen. names: whether those of
-- indexes count, which differ until the end.
SELECT line FROM (
    SELECT format('column %%s %%I %%s %%s %%s %%s %%s %%s %%s', a.attnum, a.attname, format_type(a.atttypid, a.atttypmod),
                  CASE WHEN a.attnotnull THEN 'not null' END, pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated, a.attacl,
                  col_description(a.attrelid, a.attnum)) AS line
    FROM pg_attribute AS a LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT format('constraint %%I %%s %%s', conname, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint'))
    FROM pg_constraint WHERE conrelid = %(oid)s
    UNION ALL
    SELECT format('index %%s %%s', pg_get_indexdef(indexrelid), obj_description(indexrelid, 'pg_class'))
    FROM pg_index WHERE indrelid = %(oid)s
    UNION ALL
    SELECT format('table %%s %%s %%s %%s %%s %%s', pg_get_userbyid(relowner), relacl, relrowsecurity, relforcerowsecurity, reloptions,
                  obj_description(oid, 'pg_class'))
    FROM pg_class WHERE oid = %(oid)s
    UNION ALL
    SELECT format('policy %%I %%s %%s %%s %%s %%s', polname, polpermissive, polroles::regrole[], polcmd, pg_get_expr(polqual, polrelid),
                  pg_get_expr(polwithcheck, polrelid))
    FROM pg_policy WHERE polrelid = %(oid)s
    UNION ALL
    SELECT format('trigger %%s %%s', pg_get_triggerdef(oid), tgenabled)
    FROM pg_trigger WHERE tgrelid = %(oid)s AND NOT tgisinternal AND tgname NOT LIKE 'outreachdb\_adopt\_%%'
    UNION ALL
    SELECT format('statistics %%s', pg_get_statisticsobjdef(oid)) FROM pg_statistic_ext WHERE stxrelid = %(oid)s
) AS lines
ORDER BY line;

-- name: indexes
-- To be made again on the partitioned table: keys first. definition lacks the name and the table before it.
SELECT c.relname AS name, i.indexrelid::bigint AS oid, i.indisunique AS is_unique, k.conname AS constraint_name,
       pg_get_indexdef(i.indexrelid) AS definition, pg_get_constraintdef(k.oid) AS constraint_definition,
       obj_description(i.indexrelid, 'pg_class') AS comment, obj_description(k.oid, 'pg_constraint') AS constraint_comment,
       EXISTS (
           SELECT FROM unnest(i.indkey) WITH ORDINALITY AS u (number, place)
           JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = u.number
           WHERE u.place <= i.indnkeyatts AND a.attname = %(column)s) AS has_column
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
LEFT JOIN pg_constraint AS k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u')
WHERE i.indrelid = %(oid)s
ORDER BY i.indisprimary DESC, i.indisunique DESC, c.relname;

-- name: dress
-- Statements that give another table the owner, grants, policies, comments and column settings of this one.
SELECT statement FROM (
    SELECT 1 AS place, 0 AS part, format('ALTER TABLE %%s OWNER TO %%I', %(target)s::text, pg_get_userbyid(relowner)) AS statement
    FROM pg_class WHERE oid = %(oid)s
    UNION ALL
    -- Default privileges of the schema may have granted what the old table does not.
    SELECT 2, 0, format('REVOKE ALL ON TABLE %%s FROM PUBLIC, CURRENT_USER', %(target)s::text)
    UNION ALL
    SELECT 2, 1, format('REVOKE ALL ON TABLE %%s FROM %%I', %(target)s::text, r.rolname)
    FROM pg_default_acl AS f CROSS JOIN LATERAL aclexplode(f.defaclacl) AS x JOIN pg_roles AS r ON r.oid = x.grantee
    UNION ALL
    SELECT 3, 0, format('REVOKE ALL ON TABLE %%s FROM %%I', %(target)s::text, pg_get_userbyid(relowner)) FROM pg_class WHERE oid = %(oid)s
    UNION ALL
    SELECT 4, 0, format('GRANT %%s ON TABLE %%s TO %%s%%s', x.privilege_type, %(target)s::text,
                     CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END,
                     CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM pg_class AS c CROSS JOIN LATERAL aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS x WHERE c.oid = %(oid)s
    UNION ALL
    SELECT 5, a.attnum, format('GRANT %%s (%%I) ON TABLE %%s TO %%s%%s', x.privilege_type, a.attname, %(target)s::text,
                     CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END,
                     CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM pg_attribute AS a CROSS JOIN LATERAL aclexplode(a.attacl) AS x WHERE a.attrelid = %(oid)s AND NOT a.attisdropped
    UNION ALL
    SELECT 6, 0, format('ALTER TABLE %%s ENABLE ROW LEVEL SECURITY', %(target)s::text) FROM pg_class WHERE oid = %(oid)s AND relrowsecurity
    UNION ALL
    SELECT 6, 1, format('ALTER TABLE %%s FORCE ROW LEVEL SECURITY', %(target)s::text) FROM pg_class WHERE oid = %(oid)s AND relforcerowsecurity
    UNION ALL
    SELECT 7, 0, format('CREATE POLICY %%I ON %%s AS %%s FOR %%s TO %%s%%s%%s', polname, %(target)s::text,
                     CASE WHEN polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
                     CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
                     (SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ') FROM unnest(polroles) AS r),
                     ' USING (' || pg_get_expr(polqual, polrelid) || ')', ' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')')
    FROM pg_policy WHERE polrelid = %(oid)s
    UNION ALL
    SELECT 8, 0, format('COMMENT ON POLICY %%I ON %%s IS %%L', polname, %(target)s::text, obj_description(oid, 'pg_policy'))
    FROM pg_policy WHERE polrelid = %(oid)s AND obj_description(oid, 'pg_policy') IS NOT NULL
    UNION ALL
    SELECT 9, 0, format('COMMENT ON TABLE %%s IS %%L', %(target)s::text, obj_description(%(oid)s, 'pg_class'))
    WHERE obj_description(%(oid)s, 'pg_class') IS NOT NULL
    UNION ALL
    SELECT 10, a.attnum, format('ALTER TABLE %%s ALTER COLUMN %%I SET STATISTICS %%s', %(target)s::text, a.attname, a.attstattarget)
    FROM pg_attribute AS a WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped AND a.attstattarget >= 0
    UNION ALL
    SELECT 11, a.attnum, format('ALTER TABLE %%s ALTER COLUMN %%I SET (%%s)', %(target)s::text, a.attname, array_to_string(a.attoptions, ', '))
    FROM pg_attribute AS a WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped AND a.attoptions IS NOT NULL
) AS statements
ORDER BY place, part, statement;

-- name: foreign_keys
SELECT conname AS name, pg_get_constraintdef(oid) AS definition, obj_description(oid, 'pg_constraint') AS comment
FROM pg_constraint WHERE conrelid = %(oid)s AND contype = 'f' ORDER BY conname;

-- name: triggers
SELECT tgname AS name, pg_get_triggerdef(oid) AS definition, tgenabled AS enabled, obj_description(oid, 'pg_trigger') AS comment
FROM pg_trigger WHERE tgrelid = %(oid)s AND NOT tgisinternal AND tgname NOT LIKE 'outreachdb\_adopt\_%%' ORDER BY tgname;

-- name: views
-- With the statement that makes each again, bound to whatever has the table's name by then.
SELECT DISTINCT v.oid::regclass::text AS name, format('CREATE OR REPLACE VIEW %%s%%s AS %%s', v.oid::regclass,
       ' WITH (' || array_to_string(v.reloptions, ', ') || ')', pg_get_viewdef(v.oid)) AS definition
FROM pg_depend AS d
JOIN pg_rewrite AS w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
JOIN pg_class AS v ON v.oid = w.ev_class AND v.relkind = 'v'
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = %(oid)s
ORDER BY 1;

-- name: sequences
-- The sequences that go with a table's columns: identity ('i') makes its own, serial ('a') is handed on.
SELECT format('%%I.%%I', n.nspname, s.relname) AS qualified, n.nspname AS schema_name, s.relname AS name, a.attname AS "column", d.deptype AS kind,
       ARRAY(SELECT format('GRANT %%s ON SEQUENCE %%%%s TO %%s%%s', x.privilege_type,
                           CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END,
                           CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
             FROM aclexplode(s.relacl) AS x WHERE x.grantee <> s.relowner) AS grants
FROM pg_depend AS d
JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_namespace AS n ON n.oid = s.relnamespace
JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = %(oid)s AND d.deptype IN ('a', 'i')
ORDER BY a.attnum;

-- name: statistics
SELECT o.stxname AS name, format('%%I.%%I', n.nspname, o.stxname) AS qualified,
       (SELECT format('%%I.%%I', m.nspname, t.stxname) FROM pg_statistic_ext AS t JOIN pg_namespace AS m ON m.oid = t.stxnamespace
        WHERE t.stxrelid = %(target)s AND pg_get_statisticsobjdef_columns(t.oid) = pg_get_statisticsobjdef_columns(o.oid)
          AND t.stxkind = o.stxkind LIMIT 1) AS twin
FROM pg_statistic_ext AS o JOIN pg_namespace AS n ON n.oid = o.stxnamespace
WHERE o.stxrelid = %(oid)s ORDER BY o.stxname;

-- name: find_state
SELECT a.state, a.plan, a.copied_to, a.rows_copied FROM ops.partition_adoptions AS a WHERE a.table_name = %(table)s;

-- name: begin
INSERT INTO ops.partition_adoptions (table_name, state, plan) VALUES (%(table)s, 'preparing', %(plan)s::jsonb);

-- name: advance
UPDATE ops.partition_adoptions
SET state = %(state)s, copied_to = %(copied_to)s, rows_copied = %(rows_copied)s
WHERE table_name = %(table)s;

-- name: finish
DELETE FROM ops.partition_adoptions WHERE table_name = %(table)s;

-- name: autovacuum
-- Autovacuum gives way to who waits for a second (deadlock_timeout), which is longer than we wait.
SELECT a.pid FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.relation = %(oid)s AND l.granted AND a.backend_type = 'autovacuum worker';

-- name: cancel
SELECT pg_cancel_backend(%(pid)s);

-- name: try_lock
SELECT pg_try_advisory_lock(hashtext('outreachdb.adopt.' || %(table)s)) AS locked;

-- name: unlock
SELECT pg_advisory_unlock(hashtext('outreachdb.adopt.' || %(table)s));

-- name: span
-- From the first row, or today, to the last, or what lies ahead; whether so many partitions are reasonable.
SELECT isfinite(r.first) AND isfinite(r.last) AND r.last < r.first + %(most)s * ops.partition_step(%(interval)s) AS fits
FROM (SELECT least(%(first)s::timestamptz, now()) AS first,
             greatest(%(last)s::timestamptz, now() + %(ahead)s * ops.partition_step(%(interval)s)) AS last) AS r;

-- name: add_partitions
SELECT ops.add_partitions(
    %(shadow)s::regclass, %(name)s, %(interval)s, least(%(first)s::timestamptz, now()),
    greatest(%(last)s::timestamptz, now() + %(ahead)s * ops.partition_step(%(interval)s)), %(options)s) AS made;
