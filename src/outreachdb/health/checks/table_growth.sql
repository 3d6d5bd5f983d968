-- title: Growth of the database
-- group: storage
-- unit: % per month
-- yellow: 50
-- red: 200
-- needs: table:ops.daily_figures
-- given: min_days=7 min_mb=100
-- why: The fastest of the database and its tables above min_mb, by the line through the daily sizes of the last 30 days.
-- advice: outreachdb health trends tells which tables grow and when the disk is full; look at retention (outreachdb retention plan).
-- sources: R2
WITH growing AS (
    SELECT
        d.kind, d.name, count(*) AS days, max(d.value) AS most,
        -- Held against where the line was 30 days ago, or a hundredth of today's size where it was not there yet.
        100 * 30 * regr_slope(d.value, d.day - current_date) / greatest(
            regr_intercept(d.value, d.day - current_date) - 30 * regr_slope(d.value, d.day - current_date),
            regr_intercept(d.value, d.day - current_date) / 100, 1
        ) AS percent
    FROM ops.daily_figures AS d
    CROSS JOIN given AS g
    WHERE d.kind IN ('database', 'table') AND d.day > current_date - 30
    GROUP BY d.kind, d.name, g.min_days, g.min_mb
    HAVING count(*) >= 2 AND max(d.day) - min(d.day) >= g.min_days AND max(d.value) >= g.min_mb * 1048576
)

SELECT
    CASE WHEN count(*) > 0 THEN greatest(max(w.percent), 0) END AS value,
    'too few snapshots of sizes; outreachdb worker takes one a day' AS reason,
    jsonb_build_object(
        'summary', (
            SELECT format('%s, now %s', o.name, pg_size_pretty(o.most::numeric)) FROM growing AS o ORDER BY o.percent DESC, o.name LIMIT 1
        ),
        'growing', (SELECT jsonb_agg(to_jsonb(o) ORDER BY o.percent DESC) FROM (SELECT * FROM growing ORDER BY percent DESC LIMIT 5) AS o)
    ) AS evidence
FROM growing AS w
