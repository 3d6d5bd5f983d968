-- title: Mean time of a query
-- group: queries
-- unit: ms
-- yellow: 1000
-- red: 5000
-- needs: extension:pg_stat_statements
-- given: min_calls=100
-- why: The mean over all statements of this database since they are counted; people wait for most of them.
-- advice: outreachdb advise --propose-indexes looks at the queries that cost most.
-- sources: R2 https://www.postgresql.org/docs/current/pgstatstatements.html
SELECT
    CASE WHEN coalesce(sum(s.calls), 0) >= g.min_calls THEN sum(s.total_exec_time) / nullif(sum(s.calls), 0) END AS value,
    format('only %s calls were counted yet', coalesce(sum(s.calls), 0)) AS reason,
    jsonb_build_object(
        'summary', format('%s calls took %s s', coalesce(sum(s.calls), 0), round((coalesce(sum(s.total_exec_time), 0) / 1000)::numeric, 1)),
        'calls', coalesce(sum(s.calls), 0)
    ) AS evidence
FROM given AS g
LEFT JOIN {pg_stat_statements} AS s
    ON s.dbid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()) AND s.toplevel
GROUP BY g.min_calls
