-- title: Connections in use
-- group: connections
-- unit: %
-- yellow: 75
-- red: 90
-- why: When all are taken, the next client is refused, and so may be whoever wants to help. Each one costs memory.
-- advice: Put PgBouncer in front (outreachdb pool), or close idle sessions; see who holds them with outreachdb health --details.
-- sources: https://www.postgresql.org/docs/current/runtime-config-connection.html https://github.com/CrunchyData/pgmonitor
WITH room AS (
    SELECT
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0) AS most
),

clients AS (
    -- Who may not see other roles' sessions sees no type of theirs, but their database, which the server's own have not.
    SELECT a.state, a.usename, a.application_name
    FROM pg_stat_activity AS a
    WHERE coalesce(a.backend_type = 'client backend', a.datid IS NOT NULL)
)

SELECT
    100.0 * (SELECT count(*) FROM clients) / r.most AS value,
    jsonb_build_object(
        'summary', format('%s of %s are taken', (SELECT count(*) FROM clients), r.most),
        'states', (
            SELECT jsonb_object_agg(s.state, s.n)
            FROM (SELECT coalesce(c.state, 'not visible') AS state, count(*) AS n FROM clients AS c GROUP BY 1) AS s
        ),
        'most_of', (
            SELECT jsonb_agg(to_jsonb(s))
            FROM (
                SELECT c.usename AS login, c.application_name AS application, count(*) AS connections
                FROM clients AS c GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 5
            ) AS s
        )
    ) AS evidence
FROM room AS r
