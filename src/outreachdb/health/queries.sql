-- name: store_snapshot
INSERT INTO ops.health_snapshots (status, checks) VALUES (%(status)s, %(checks)s);

-- name: prune_snapshots
DELETE FROM ops.health_snapshots AS h WHERE h.captured_at < now() - make_interval(days => %(days)s);

-- name: snapshot_sizes
SELECT outreach.snapshot_sizes(%(used)s, %(total)s) AS figures;

-- name: snapshot_queries
SELECT outreach.snapshot_queries() AS statements;

-- name: trend_figures
-- The line through the daily figures of the last days; where it ends is reached from the latest figure on.
WITH recent AS (
    SELECT f.kind, f.name, f.day, f.value, f.most, max(f.day) OVER (PARTITION BY f.kind, f.name) AS last_day
    FROM ops.daily_figures AS f
    WHERE f.day > timezone('UTC', now())::date - %(days)s::int
),

lines AS (
    SELECT
        r.kind, r.name, count(*) AS days, min(r.day) AS first_day, max(r.day) AS last_day,
        max(r.value) FILTER (WHERE r.day = r.last_day) AS value, max(r.most) FILTER (WHERE r.day = r.last_day) AS most,
        regr_slope(r.value, r.day - r.last_day) AS per_day
    FROM recent AS r
    GROUP BY r.kind, r.name
)

SELECT
    l.kind, l.name, l.days, l.value, l.most, l.per_day, l.per_day * 30 AS per_month,
    CASE WHEN l.most IS NOT NULL AND l.per_day > 0 AND (l.most - l.value) / l.per_day < 36500
        THEN l.last_day + ceil(greatest(l.most - l.value, 0) / l.per_day)::int END AS runs_out_on
FROM lines AS l
WHERE l.last_day > l.first_day
ORDER BY runs_out_on NULLS LAST, l.per_day DESC NULLS LAST, l.kind, l.name
LIMIT %(limit)s;

-- name: trend_queries
-- The mean of the last seven whole days beside the seven before, for statements that ran often enough in both.
WITH weeks AS (
    SELECT
        q.query_id,
        sum(q.calls) FILTER (WHERE q.day >= d.today - 7) AS calls, sum(q.total_ms) FILTER (WHERE q.day >= d.today - 7) AS total_ms,
        sum(q.calls) FILTER (WHERE q.day < d.today - 7) AS calls_before,
        sum(q.total_ms) FILTER (WHERE q.day < d.today - 7) AS total_ms_before
    FROM ops.query_days AS q
    CROSS JOIN (SELECT timezone('UTC', now())::date AS today) AS d
    WHERE q.day >= d.today - 14 AND q.day < d.today
    GROUP BY q.query_id
)

SELECT
    w.query_id, t.query, w.calls, w.total_ms / w.calls AS mean_ms, w.calls_before,
    w.total_ms_before / w.calls_before AS mean_ms_before,
    (w.total_ms / w.calls) / (w.total_ms_before / w.calls_before) AS times
FROM weeks AS w
LEFT JOIN ops.query_texts AS t ON t.query_id = w.query_id
WHERE
    w.calls >= %(min_calls)s AND w.calls_before >= %(min_calls)s AND w.total_ms_before > 0
    AND w.total_ms / w.calls >= %(min_ms)s
    AND w.total_ms / w.calls >= %(times)s * (w.total_ms_before / w.calls_before)
ORDER BY w.total_ms - w.calls * (w.total_ms_before / w.calls_before) DESC, w.query_id
LIMIT %(limit)s;

-- name: trend_indexes
-- Indexes that were never scanned between two captures that lie far enough apart, whatever was reset in between.
SELECT
    u.schema_name, u.table_name, u.index_name, min(u.captured_at) AS since,
    (array_agg(u.index_bytes ORDER BY u.captured_at DESC))[1] AS index_bytes
FROM ops.index_usage_stats AS u
GROUP BY u.schema_name, u.table_name, u.index_name
HAVING
    sum(u.new_scans) = 0 AND max(u.captured_at) > now() - interval '8 days'
    AND max(u.captured_at) - min(u.captured_at) >= make_interval(days => %(days)s)
    AND (array_agg(u.index_bytes ORDER BY u.captured_at DESC))[1] >= %(min_bytes)s
ORDER BY index_bytes DESC, 1, 3
LIMIT %(limit)s;

-- name: last_alert_round
SELECT max(a.evaluated_at) > clock_timestamp() - make_interval(secs => %(seconds)s) AS recent FROM ops.alerts AS a;

-- name: try_alert_lock
SELECT pg_try_advisory_xact_lock(hashtext('outreachdb.alerts')) AS locked;

-- name: advance_alerts
-- One step for every check that applies; a check that does not apply at the moment keeps its counts.
WITH seen AS (
    SELECT c.name, c.status, CASE c.status WHEN 'green' THEN 0 WHEN 'yellow' THEN 1 ELSE 2 END AS rank, c.document
    FROM jsonb_to_recordset(%(checks)s) AS c (name text, status text, document jsonb)
),

counted AS (
    SELECT
        s.name, s.document, s.status, s.rank >= %(rank)s::int AS is_bad,
        coalesce(a.state, 'ok') AS state, a.level, coalesce(a.since, %(now)s::timestamptz) AS since, a.notified_at,
        CASE WHEN s.rank >= %(rank)s::int THEN least(coalesce(a.bad, 0) + 1, 1000000) ELSE 0 END AS bad,
        CASE WHEN s.rank = 2 THEN least(coalesce(a.red, 0) + 1, 1000000) ELSE 0 END AS red,
        CASE WHEN s.rank >= %(rank)s::int THEN 0 ELSE least(coalesce(a.good, 0) + 1, 1000000) END AS good
    FROM seen AS s
    LEFT JOIN ops.alerts AS a ON a.check_name = s.name
),

judged AS (
    SELECT
        c.*,
        CASE
            WHEN c.state = 'ok' AND c.bad >= %(bad)s::int THEN 'firing'
            WHEN c.state = 'firing' AND c.good >= %(good)s::int THEN 'resolved'
            WHEN c.state = 'firing' AND c.level = 'yellow' AND c.red >= %(bad)s::int THEN 'worse'
            WHEN c.state = 'firing' AND c.notified_at <= %(now)s::timestamptz - make_interval(secs => %(repeat)s) THEN 'repeat'
        END AS event
    FROM counted AS c
),

next AS (
    SELECT
        j.*,
        CASE j.event WHEN 'firing' THEN 'firing' WHEN 'resolved' THEN 'ok' ELSE j.state END AS new_state,
        CASE
            WHEN j.event = 'firing' THEN CASE WHEN j.red >= %(bad)s::int THEN 'red' ELSE 'yellow' END
            WHEN j.event = 'worse' THEN 'red'
            WHEN j.event = 'resolved' THEN NULL
            ELSE j.level
        END AS new_level
    FROM judged AS j
),

stored AS (
    INSERT INTO ops.alerts AS a (check_name, state, level, bad, red, good, since, notified_at, evaluated_at)
    SELECT
        n.name, n.new_state, n.new_level, n.bad, n.red, n.good,
        CASE WHEN n.event IN ('firing', 'resolved') THEN %(now)s::timestamptz ELSE n.since END,
        CASE WHEN n.event IS NOT NULL THEN %(now)s::timestamptz ELSE n.notified_at END, %(now)s::timestamptz
    FROM next AS n
    ON CONFLICT (check_name) DO UPDATE
    SET
        state = excluded.state, level = excluded.level, bad = excluded.bad, red = excluded.red, good = excluded.good,
        since = excluded.since, notified_at = excluded.notified_at, evaluated_at = excluded.evaluated_at
)

INSERT INTO ops.alert_messages (channel, check_name, event, document, created_at, next_at)
SELECT
    k.name, n.name, n.event,
    n.document || jsonb_build_object('event', n.event, 'level', coalesce(n.new_level, n.level), 'since', n.since, 'at', %(now)s::timestamptz),
    %(now)s::timestamptz, %(now)s::timestamptz
FROM next AS n
CROSS JOIN jsonb_to_recordset(%(channels)s) AS k (name text, rank int)
WHERE n.event IS NOT NULL AND k.rank <= CASE coalesce(n.new_level, n.level) WHEN 'red' THEN 2 ELSE 1 END
RETURNING id;

-- name: forget_alerts
-- Checks that were switched off or are gone.
DELETE FROM ops.alerts AS a WHERE NOT a.check_name = ANY (%(names)s::text[]);

-- name: take_messages
-- The oldest that waits for each check of a channel: what follows it waits, so that "resolved" can't come before "firing".
UPDATE ops.alert_messages AS m
SET attempts = m.attempts + 1, next_at = clock_timestamp() + make_interval(secs => %(lease)s)
WHERE m.id IN (
    SELECT w.id
    FROM ops.alert_messages AS w
    WHERE
        w.sent_at IS NULL AND w.next_at <= clock_timestamp() AND w.channel = ANY (%(channels)s::text[])
        AND NOT EXISTS (
            SELECT FROM ops.alert_messages AS o
            WHERE o.sent_at IS NULL AND o.channel = w.channel AND o.check_name = w.check_name AND o.id < w.id
        )
    ORDER BY w.id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
RETURNING m.id, m.channel, m.check_name, m.event, m.document, m.attempts;

-- name: message_sent
UPDATE ops.alert_messages AS m SET sent_at = clock_timestamp(), error = NULL WHERE m.id = %(id)s;

-- name: message_failed
UPDATE ops.alert_messages AS m
SET error = %(error)s, next_at = clock_timestamp() + make_interval(secs => %(wait)s)
WHERE m.id = %(id)s AND m.sent_at IS NULL;

-- name: drop_messages
-- What is old is forgotten, what could not be told for a day is given up.
DELETE FROM ops.alert_messages AS m
WHERE m.created_at < clock_timestamp() - CASE WHEN m.sent_at IS NULL THEN interval '1 day' ELSE interval '90 days' END;

-- name: alerts
SELECT a.check_name, a.state, a.level, a.bad, a.good, a.since, a.notified_at, a.evaluated_at
FROM ops.alerts AS a
WHERE a.state = 'firing' OR %(everything)s::boolean
ORDER BY a.state DESC, a.level, a.check_name;

-- name: metric_jobs
-- The latest run of each job that ended, and its latest success.
SELECT
    m.job, max(m.finished_at) AS finished_at, max(m.finished_at) FILTER (WHERE m.status = 'succeeded') AS succeeded_at,
    (array_agg(extract(epoch FROM m.finished_at - m.started_at)::float8 ORDER BY m.started_at DESC))[1] AS seconds,
    (array_agg(m.status ORDER BY m.started_at DESC))[1] AS status
FROM ops.maintenance_runs AS m
WHERE m.finished_at IS NOT NULL AND m.started_at > now() - interval '40 days'
GROUP BY m.job
ORDER BY m.job
LIMIT %(limit)s;

-- name: metric_database
SELECT m.metric, m.value FROM outreach.get_database_performance_metrics() AS m WHERE m.value IS NOT NULL;

-- name: metric_tables
SELECT format('%%I.%%I', t.schema_name, t.table_name) AS name, t.total_bytes, t.dead_rows
FROM outreach.get_table_size_stats() AS t
ORDER BY t.total_bytes DESC, 1
LIMIT %(limit)s;

-- name: metric_alerts
SELECT a.level, count(*) AS firing FROM ops.alerts AS a WHERE a.state = 'firing' GROUP BY a.level;
