-- title: Slow queries
-- group: queries
-- unit: queries
-- yellow: 5
-- red: 20
-- needs: extension:pg_stat_statements
-- given: slow_ms=100 min_calls=20
-- why: Statements whose mean is above slow_ms and that ran min_calls times. Each is worth a look at its plan.
-- advice: outreachdb advise --propose-indexes tries indexes for them; outreachdb health trends tells which got slower.
-- sources: R3 https://www.postgresql.org/docs/current/pgstatstatements.html
WITH slow AS (
    SELECT s.queryid, sum(s.calls) AS calls, sum(s.total_exec_time) / sum(s.calls) AS mean_ms, left(min(s.query), 200) AS query
    FROM {pg_stat_statements} AS s
    CROSS JOIN given AS g
    WHERE
        s.dbid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
        -- Utility statements (imports, migrations, VACUUM) take what they take, and may hold secrets.
        AND s.query ~* '^\W*(SELECT|INSERT|UPDATE|DELETE|MERGE|WITH)\y'
    GROUP BY s.queryid, g.slow_ms, g.min_calls
    HAVING sum(s.calls) >= g.min_calls AND sum(s.total_exec_time) / sum(s.calls) > g.slow_ms
)

SELECT
    count(*) AS value,
    jsonb_build_object(
        'summary', CASE WHEN count(*) = 0 THEN 'none' ELSE format('%s take over %s ms, the slowest %s ms', count(*),
            (SELECT g.slow_ms FROM given AS g), round(max(s.mean_ms)::numeric)) END,
        'queries', (SELECT jsonb_agg(to_jsonb(o) ORDER BY o.mean_ms DESC) FROM (SELECT * FROM slow ORDER BY mean_ms DESC LIMIT 5) AS o)
    ) AS evidence
FROM slow AS s
