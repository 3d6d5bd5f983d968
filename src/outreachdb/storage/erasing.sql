-- name: ask
-- Leads by number and by address; each brings the other, as far as the leads are still there.
INSERT INTO ops.archive_erasures (workspace_id, lead_ids, addresses, requested_by)
SELECT %(workspace_id)s,
       ARRAY(
           SELECT unnest(%(lead_ids)s::bigint[])
           UNION
           SELECT l.id FROM outreach.leads AS l
           WHERE l.workspace_id = %(workspace_id)s AND l.email_key = ANY (%(addresses)s::text[])
           ORDER BY 1
       ),
       ARRAY(
           SELECT unnest(%(addresses)s::text[])
           UNION
           SELECT l.email_key FROM outreach.leads AS l
           WHERE l.workspace_id = %(workspace_id)s AND l.id = ANY (%(lead_ids)s::bigint[]) AND l.email_key IS NOT NULL
           ORDER BY 1
       ),
       coalesce(nullif(%(requested_by)s::text, ''), session_user)
RETURNING id;

-- name: standing
-- Those whose rows may still be in a file.
SELECT e.id, e.workspace_id, e.lead_ids, e.addresses, e.requested_by, e.created_at, e.done_at, e.rows_removed
FROM ops.archive_erasures AS e
WHERE e.done_at IS NULL
ORDER BY e.id;

-- name: listed
SELECT e.id, e.workspace_id, e.lead_ids, e.addresses, e.requested_by, e.created_at, e.done_at, e.rows_removed
FROM ops.archive_erasures AS e
WHERE e.workspace_id = %(workspace_id)s
ORDER BY e.id;

-- name: learn
-- By which numbers the archives know the people of an address; the lead itself may be gone.
UPDATE ops.archive_erasures AS e
SET lead_ids = ARRAY(SELECT unnest(e.lead_ids) UNION SELECT unnest(%(lead_ids)s::bigint[]) ORDER BY 1)
WHERE e.id = %(id)s AND e.done_at IS NULL AND NOT e.lead_ids @> %(lead_ids)s::bigint[];

-- name: holds
-- Legal holds on the rows that a workspace has in an archive.
SELECT format('legal hold %%s: %%s', h.id, h.reason) AS reason
FROM ops.retention_holds AS h
WHERE h.released_at IS NULL AND (h.table_name IS NULL OR h.table_name = %(table_name)s)
  AND (h.workspace_id IS NULL OR h.workspace_id = %(workspace_id)s)
  AND coalesce(h.range_start, '-infinity') < %(range_end)s AND coalesce(h.range_end, 'infinity') > %(range_start)s
ORDER BY h.id;

-- name: current
SELECT a.id, a.table_name, a.partition_name, a.leaving, a.range_start, a.range_end, a.file, a.row_count, a.content_sha256,
       a.fingerprint, a.revision, a.state, a.bytes, a.created_at, a.verified_at, a.dropped_at, a.restored_at, a.problem,
       a.erasures, a.replaced_file
FROM ops.partition_archives AS a
WHERE a.id = %(id)s;

-- name: to_rewrite
-- Files that stand for themselves; one whose table is still there comes when it is dropped.
SELECT a.id FROM ops.partition_archives AS a
WHERE a.state IN ('dropped', 'restored')
  AND (a.replaced_file IS NOT NULL OR NOT a.erasures @> %(erasures)s::bigint[])
ORDER BY a.id;

-- name: passed
-- Nobody of these is in the file.
UPDATE ops.partition_archives AS a
SET erasures = ARRAY(SELECT unnest(a.erasures) UNION SELECT unnest(%(erasures)s::bigint[]) ORDER BY 1)
WHERE a.id = %(id)s AND a.file = %(file)s;

-- name: replaced
-- From here on the new file is the archive; the old one is to be removed.
UPDATE ops.partition_archives AS a
SET file = %(new_file)s, replaced_file = a.file, row_count = %(row_count)s, content_sha256 = %(content_sha256)s,
    fingerprint = %(fingerprint)s, bytes = %(bytes)s, verified_at = now(), problem = NULL,
    erasures = ARRAY(SELECT unnest(a.erasures) UNION SELECT unnest(%(erasures)s::bigint[]) ORDER BY 1)
WHERE a.id = %(id)s AND a.file = %(file)s AND a.replaced_file IS NULL AND a.state IN ('dropped', 'restored');

-- name: counted
UPDATE ops.archive_erasures AS e SET rows_removed = e.rows_removed + %(rows)s WHERE e.id = %(id)s;

-- name: old_file_removed
UPDATE ops.partition_archives AS a SET replaced_file = NULL WHERE a.id = %(id)s;

-- name: done
-- An erasure has been through every archive that there was when it was asked for; the addresses are then forgotten.
UPDATE ops.archive_erasures AS e
SET done_at = now(), addresses = '{}'
WHERE e.done_at IS NULL AND e.id = ANY (%(erasures)s::bigint[])
  AND NOT EXISTS (
      SELECT FROM ops.partition_archives AS a
      WHERE a.replaced_file IS NOT NULL OR (a.created_at <= e.created_at AND NOT a.erasures @> ARRAY[e.id]));
