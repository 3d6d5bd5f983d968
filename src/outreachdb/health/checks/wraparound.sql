-- title: Transaction numbers used up
-- group: storage
-- unit: %
-- yellow: 50
-- red: 75
-- why: Transaction numbers are reused after two thousand million. A table that VACUUM could not freeze until then stops
--   all writes. The same holds for the numbers of row locks that several sessions share.
-- advice: Look for what holds VACUUM back (old transactions, slots), then VACUUM (FREEZE) the oldest tables.
-- sources: https://www.postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-WRAPAROUND
--   https://github.com/CrunchyData/pgmonitor
WITH ages AS (
    SELECT
        d.datname, age(d.datfrozenxid) AS transactions, mxid_age(d.datminmxid) AS multixacts,
        greatest(age(d.datfrozenxid), mxid_age(d.datminmxid)) AS oldest
    FROM pg_database AS d
    ORDER BY oldest DESC
    LIMIT 1
)

SELECT
    100.0 * a.oldest / 2146483647 AS value,
    jsonb_build_object(
        'summary', format('%s is %s transactions old', a.datname, a.oldest), 'database', a.datname,
        'transactions', a.transactions, 'multixacts', a.multixacts
    ) AS evidence
FROM ages AS a
