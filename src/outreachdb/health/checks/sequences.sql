-- title: Sequences used up
-- group: storage
-- unit: %
-- yellow: 70
-- red: 90
-- uses: sequences
-- why: When the last value is given, or the column's type can't hold the next one, every insert fails.
-- advice: Move the column to bigint ahead of time; outreachdb advise --rule sequence_running_out tells which.
-- sources: https://www.postgresql.org/docs/current/sql-createsequence.html https://github.com/ankane/pghero
SELECT
    CASE WHEN count(*) > 0 THEN coalesce(max(s.share), 0) * 100 END AS value,
    'there are no sequences that end' AS reason,
    jsonb_build_object(
        'summary', coalesce((
            SELECT format('%s.%s: %s of %s', o.nspname, o.relname, o.last, o.most)
            FROM sequences AS o WHERE o.share IS NOT NULL ORDER BY o.share DESC, o.relname LIMIT 1
        ), 'none has given a value'),
        'sequences', count(*)
    ) AS evidence
FROM sequences AS s
