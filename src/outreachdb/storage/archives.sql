-- name: columns
-- The columns of a table as an archive keeps them; a domain is told from its base type, which need not print the same.
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
       CASE WHEN t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype = 'b' THEN t.typname ELSE 'other' END AS kind,
       NOT a.attnotnull OR EXISTS (
           SELECT FROM pg_constraint AS k
           WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND a.attnum = ANY (k.conkey) AND NOT k.convalidated
       ) AS nullable, a.attgenerated <> '' AS generated
FROM pg_attribute AS a
JOIN pg_type AS t ON t.oid = a.atttypid
WHERE a.attrelid = %(table)s::regclass AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum;

-- name: revision
SELECT v.version_num AS revision FROM ops.alembic_version AS v;

-- name: registered
-- A bare name stands in our own schema.
SELECT r.table_name, CASE cardinality(w.words) WHEN 1 THEN 'outreach' ELSE w.words[1] END AS schema, w.words[cardinality(w.words)] AS name
FROM ops.partitioned_tables AS r
CROSS JOIN LATERAL parse_ident(r.table_name) AS w (words)
ORDER BY r.table_name;

-- name: partitions
-- Those with a range; an end that is open comes as infinity, which no datetime holds: such a partition is left alone.
SELECT p.qualified AS name, p.detaching, p.range_from AS range_start, p.range_to AS range_end,
       coalesce(nullif(pg_stat_get_live_tuples(p.partition), 0), greatest(c.reltuples, 0)::bigint) AS rows,
       pg_total_relation_size(p.partition) AS bytes, pg_relation_size(p.partition) = 0 AS empty
FROM ops.partitions_of(ops.partitioned_relation(%(table_name)s)) AS p
JOIN pg_class AS c ON c.oid = p.partition
WHERE isfinite(p.range_from) AND isfinite(p.range_to)
ORDER BY p.range_from;

-- name: find_table
-- By its quoted, qualified name. Not to_regclass, which remembers absence.
SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS name, pg_get_userbyid(c.relowner) AS owner,
       EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = c.oid) AS attached
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = (parse_ident(%(qualified)s))[1] AND c.relname = (parse_ident(%(qualified)s))[2];

-- name: commit_durably
-- A record that a server forgot, where synchronous_commit is off, would leave its file for ever.
SELECT outreach.commit_durably();

-- name: begin
INSERT INTO ops.partition_archives (table_name, partition_name, range_start, range_end, file, revision)
VALUES (%(table_name)s, %(partition_name)s, %(range_start)s, %(range_end)s, %(file)s, %(revision)s)
RETURNING id;

-- name: under_way
SELECT a.id, a.table_name, a.partition_name, a.leaving, a.range_start, a.range_end, a.file, a.row_count, a.content_sha256,
       a.fingerprint, a.revision, a.state, a.bytes, a.created_at, a.verified_at, a.dropped_at, a.restored_at, a.problem
FROM ops.partition_archives AS a
WHERE a.state IN ('writing', 'verified') AND (%(table_name)s::text IS NULL OR a.table_name = %(table_name)s)
  AND (%(partition_name)s::text IS NULL OR a.partition_name = %(partition_name)s)
ORDER BY a.table_name, a.range_start;

-- name: listed
SELECT a.id, a.table_name, a.partition_name, a.leaving, a.range_start, a.range_end, a.file, a.row_count, a.content_sha256,
       a.fingerprint, a.revision, a.state, a.bytes, a.created_at, a.verified_at, a.dropped_at, a.restored_at, a.problem
FROM ops.partition_archives AS a
WHERE (%(table_name)s::text IS NULL OR a.table_name = %(table_name)s)
  AND (%(partition_name)s::text IS NULL OR a.partition_name = %(partition_name)s)
ORDER BY a.table_name, a.range_start, a.id;

-- name: leave
UPDATE ops.partition_archives SET leaving = %(leaving)s WHERE id = %(id)s;

-- name: take_fingerprint
UPDATE ops.partition_archives
SET row_count = %(row_count)s, content_sha256 = %(content_sha256)s, fingerprint = %(fingerprint)s, state = 'writing',
    problem = NULL
WHERE id = %(id)s;

-- name: verified
UPDATE ops.partition_archives
SET state = 'verified', verified_at = now(), bytes = %(bytes)s, problem = NULL
WHERE id = %(id)s AND state IN ('writing', 'verified');

-- name: checked
UPDATE ops.partition_archives
SET verified_at = CASE WHEN %(problem)s::text IS NULL THEN now() ELSE verified_at END, problem = %(problem)s
WHERE id = %(id)s AND file = %(file)s AND state IN ('verified', 'dropped');

-- name: dropped
UPDATE ops.partition_archives SET state = 'dropped', dropped_at = now(), leaving = NULL
WHERE id = %(id)s AND state = 'verified';

-- name: restored
UPDATE ops.partition_archives SET state = 'restored', restored_at = now() WHERE id = %(id)s AND state = 'dropped';

-- name: failed
UPDATE ops.partition_archives SET problem = %(problem)s WHERE id = %(id)s;

-- name: remember_mailed
-- Who was mailed by a campaign's latest run: the next run leaves them out (outreach.create_next_run), and looks for them in
-- the sends that leave now.
INSERT INTO outreach.campaign_leads (workspace_id, name, lead_id)
SELECT DISTINCT s.workspace_id, c.name, s.lead_id
FROM {partition} AS s
JOIN outreach.campaigns AS c ON c.workspace_id = s.workspace_id AND c.id = s.campaign_id
WHERE s.attempts > 0
ON CONFLICT (workspace_id, name, lead_id) DO NOTHING;

-- name: foreign_keys
-- What a partition inherits, with the words to make it alone.
SELECT k.conname AS name, pg_get_constraintdef(k.oid) AS definition
FROM pg_constraint AS k
WHERE k.conrelid = %(table)s::regclass AND k.contype = 'f'
ORDER BY k.conname;

-- name: parent
SELECT c.oid::bigint AS oid, format('%%I.%%I', n.nspname, c.relname) AS parent, pg_get_userbyid(c.relowner) AS owner, a.attname AS key,
       format_type(a.atttypid, NULL) AS key_type,
       CASE n.nspname WHEN 'outreach' THEN 'parts' ELSE n.nspname END AS target, c.relrowsecurity AS secured,
       EXISTS (SELECT FROM pg_attribute AS w WHERE w.attrelid = c.oid AND w.attname = 'workspace_id') AS of_workspaces,
       ops.partition_options(c.oid) AS options
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_partitioned_table AS p ON p.partrelid = c.oid
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = p.partattrs[0]
WHERE c.oid = ops.partitioned_relation(%(table_name)s);

-- name: covering
-- Partitions that hold some of a range.
SELECT p.qualified AS name
FROM ops.partitions_of(ops.partitioned_relation(%(table_name)s)) AS p
WHERE p.range_from < %(range_end)s AND p.range_to > %(range_start)s;
