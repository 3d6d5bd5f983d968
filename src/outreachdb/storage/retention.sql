-- name: registered_table
SELECT r.table_name, r."interval", r.retention_months, r.archive FROM ops.partitioned_tables AS r
WHERE r.table_name = %(table_name)s;

-- name: may_receive
-- The month is not over; or delivery events of it are still taken (outreach.batch_update_email_status has the same horizon).
SELECT %(range_end)s::timestamptz > now() - CASE WHEN %(fed)s::boolean
    THEN make_interval(months => coalesce(e.retention_months, 120)::integer, days => coalesce(e.retention_days, 0)::integer)
    ELSE interval '0' END
FROM (SELECT) AS one
LEFT JOIN ops.partitioned_tables AS e ON e.table_name = 'email_events';

-- name: open_campaigns
-- A run's sends all carry its launch instant. A run that ended lately still gets delivery events, which look for their sends.
SELECT format('campaign %%s (%%s) of workspace %%s is %%s', c.id, c.name, c.workspace_id,
              CASE WHEN c.completed_at IS NULL THEN c.status ELSE 'closed since ' || c.completed_at::date END) AS reason
FROM outreach.campaigns AS c
LEFT JOIN ops.partitioned_tables AS e ON e.table_name = 'email_events'
WHERE c.launched_at >= %(range_start)s AND c.launched_at < %(range_end)s
  AND (c.status NOT IN ('completed', 'cancelled')
       OR c.completed_at > now() - make_interval(
           months => coalesce(e.retention_months, 120)::integer, days => coalesce(e.retention_days, 0)::integer))
ORDER BY c.workspace_id, c.id
LIMIT 20;

-- name: pending_sends
SELECT count(*) FROM {partition} AS s WHERE s.status IN ('scheduled', 'claimed');

-- name: keeping
-- Legal holds, and workspaces whose own policy is longer; workspace_id NULL stands for all.
SELECT h.workspace_id, format('legal hold %%s: %%s', h.id, h.reason) AS reason
FROM ops.retention_holds AS h
WHERE h.released_at IS NULL AND (h.table_name IS NULL OR h.table_name = %(table_name)s)
  AND coalesce(h.range_start, '-infinity') < %(range_end)s AND coalesce(h.range_end, 'infinity') > %(range_start)s
UNION ALL
SELECT p.workspace_id, format('workspace %%s keeps %%s', p.workspace_id, coalesce(p.retention_months || ' months', 'everything'))
FROM ops.workspace_retention AS p
WHERE p.table_name = %(table_name)s
  AND (p.retention_months IS NULL OR %(range_end)s > now() - make_interval(months => p.retention_months::integer))
ORDER BY 2;

-- name: due
-- Registered tables and the instant before which their rows go (NULL: they stay for ever).
SELECT r.table_name, r.archive,
       now() - make_interval(months => r.retention_months::integer, days => r.retention_days::integer) AS cut
FROM ops.partitioned_tables AS r
JOIN pg_class AS c ON c.oid = ops.partitioned_relation(r.table_name)
WHERE %(table_name)s::text IS NULL OR r.table_name = %(table_name)s
ORDER BY r.table_name;

-- name: shorter_policies
-- Workspaces that keep a table for less time than the table says.
SELECT p.workspace_id, p.table_name, now() - make_interval(months => p.retention_months::integer) AS cut
FROM ops.workspace_retention AS p
JOIN ops.partitioned_tables AS r ON r.table_name = p.table_name
WHERE p.retention_months IS NOT NULL
  AND (r.retention_months IS NULL
       OR make_interval(months => p.retention_months::integer)
          < make_interval(months => r.retention_months::integer, days => r.retention_days::integer))
  AND (%(table_name)s::text IS NULL OR p.table_name = %(table_name)s)
ORDER BY p.table_name, p.workspace_id;

-- name: policies
SELECT p.workspace_id, w.name AS workspace, p.table_name, p.retention_months, p.created_at
FROM ops.workspace_retention AS p
LEFT JOIN outreach.workspaces AS w ON w.id = p.workspace_id
ORDER BY p.table_name, p.workspace_id;

-- name: set_policy
INSERT INTO ops.workspace_retention (workspace_id, table_name, retention_months)
VALUES (%(workspace_id)s, %(table_name)s, %(months)s)
ON CONFLICT (workspace_id, table_name) DO UPDATE SET retention_months = excluded.retention_months;

-- name: drop_policy
DELETE FROM ops.workspace_retention AS p WHERE p.workspace_id = %(workspace_id)s AND p.table_name = %(table_name)s
RETURNING p.table_name;

-- name: add_hold
INSERT INTO ops.retention_holds (table_name, workspace_id, range_start, range_end, reason, created_by)
VALUES (%(table_name)s, %(workspace_id)s, %(range_start)s, %(range_end)s, %(reason)s, %(who)s)
RETURNING id, table_name, workspace_id, range_start, range_end, reason, created_by, created_at, released_at, released_by;

-- name: holds
SELECT h.id, h.table_name, h.workspace_id, h.range_start, h.range_end, h.reason, h.created_by, h.created_at, h.released_at,
       h.released_by
FROM ops.retention_holds AS h
WHERE %(all)s OR h.released_at IS NULL
ORDER BY h.id;

-- name: release_hold
UPDATE ops.retention_holds SET released_at = now(), released_by = %(who)s
WHERE id = %(id)s AND released_at IS NULL
RETURNING id, table_name, workspace_id, range_start, range_end, reason, created_by, created_at, released_at, released_by;

-- name: count_old
SELECT count(*) AS rows FROM {partition} AS r
WHERE r.workspace_id = {workspace} AND r.{key} < {cut} AND {condition};

-- name: delete_old
-- A portion at a time, so that no transaction and no lock lasts long.
DELETE FROM {partition} AS r
WHERE r.ctid = ANY (ARRAY(
    SELECT o.ctid FROM {partition} AS o
    WHERE o.workspace_id = {workspace} AND o.{key} < {cut} AND {inner_condition}
    LIMIT {limit}))
  AND r.workspace_id = {workspace};

-- name: remember_old_sends
INSERT INTO outreach.campaign_leads (workspace_id, name, lead_id)
SELECT DISTINCT r.workspace_id, c.name, r.lead_id
FROM {partition} AS r
JOIN outreach.campaigns AS c ON c.workspace_id = r.workspace_id AND c.id = r.campaign_id
WHERE r.workspace_id = {workspace} AND r.{key} < {cut} AND r.attempts > 0 AND {condition}
ON CONFLICT (workspace_id, name, lead_id) DO NOTHING;

-- name: in_sight
-- Whether a partition that is attached holds the range, or the range was frozen before.
SELECT EXISTS (
    SELECT FROM ops.partitions_of(ops.partitioned_relation(%(table_name)s)) AS p
    WHERE NOT p.detaching AND p.range_from <= %(range_start)s AND p.range_to >= %(range_end)s
) OR EXISTS (
    SELECT FROM analytics.rollup_freezes AS f
    WHERE f.table_name = %(table_name)s AND f.workspace_id IN (0, %(workspace_id)s)
      AND f.range_start <= %(range_start)s AND f.range_end >= %(range_end)s
) AS in_sight;

-- name: freeze
SELECT f.buckets, f.repaired
FROM outreach.freeze_rollups(%(table_name)s, %(range_start)s, %(range_end)s, %(workspace_id)s) AS f;
