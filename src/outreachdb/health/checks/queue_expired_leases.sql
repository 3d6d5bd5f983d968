-- title: Sends that a worker held and left
-- group: queues
-- unit: sends
-- yellow: 1
-- red: 100
-- needs: table:outreach.email_sends
-- given: minutes=10
-- why: A worker that died leaves its sends claimed; recovery gives them back. Those whose lease ended over minutes ago
--   show that recovery does not run. Counted no further than red.
-- advice: Run outreachdb worker; its job for stuck leases gives them back.
-- sources: R2
SELECT
    count(*) AS value,
    jsonb_build_object(
        'summary', CASE WHEN count(*) = 0 THEN 'none' ELSE format('the oldest since %s', to_char(min(d.lease_expires_at), 'YYYY-MM-DD HH24:MI')) END,
        'oldest', min(d.lease_expires_at)
    ) AS evidence
FROM (
    SELECT e.lease_expires_at
    FROM outreach.email_sends AS e
    WHERE e.status = 'claimed' AND e.lease_expires_at < now() - make_interval(mins => (SELECT g.minutes::int FROM given AS g))
    LIMIT (SELECT greatest(g.red, g.yellow)::bigint + 1 FROM given AS g)
) AS d
