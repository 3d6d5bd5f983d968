-- title: Sends that are due
-- group: queues
-- unit: sends
-- yellow: 50000
-- red: 500000
-- needs: table:outreach.email_sends
-- given: minutes=15
-- why: Sends whose time came over minutes ago and that nobody took: the senders are too few, stopped, or held by limits.
--   Counted no further than red.
-- advice: Run outreachdb send run (or more workers); outreachdb campaign forecast tells which limit holds up.
-- sources: R0 R2
SELECT
    count(*) AS value,
    jsonb_build_object(
        'summary', CASE WHEN count(*) = 0 THEN 'none' ELSE format('the oldest since %s', to_char(min(d.scheduled_at), 'YYYY-MM-DD HH24:MI')) END,
        'oldest', min(d.scheduled_at)
    ) AS evidence
FROM (
    SELECT e.scheduled_at
    FROM outreach.email_sends AS e
    WHERE e.status = 'scheduled' AND e.scheduled_at < now() - make_interval(mins => (SELECT g.minutes::int FROM given AS g))
    LIMIT (SELECT greatest(g.red, g.yellow)::bigint + 1 FROM given AS g)
) AS d
