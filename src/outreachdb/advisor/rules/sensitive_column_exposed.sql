-- title: Secret that everybody may read
-- severity: error
-- group: isolation
-- uses: columns
-- why: A column whose name says secret (password, token, card number ...) can be read by PUBLIC, and no row-level
--   security stands before it.
-- fix: Revoke SELECT from PUBLIC and grant columns, or a view, to those who need it.
-- sources: https://www.postgresql.org/docs/current/sql-grant.html https://github.com/supabase/splinter
SELECT
    c.relation, NULL::text AS schema, array_agg(c.name::text ORDER BY c.attnum) AS columns, NULL::text AS object, NULL::text AS severity,
    jsonb_build_object('summary', format('PUBLIC may read %s', string_agg(c.name, ', ' ORDER BY c.attnum))) AS evidence,
    jsonb_build_object(
        'kind', 'statement', 'do', jsonb_build_array(format('REVOKE SELECT ON %s FROM PUBLIC', c.quoted)),
        'undo', jsonb_build_array(format('GRANT SELECT ON %s TO PUBLIC', c.quoted))
    ) AS fix
FROM columns AS c
JOIN pg_class AS t ON t.oid = c.relation AND NOT t.relrowsecurity
WHERE
    c.name ~* '(^|_)(password|passwd|passphrase|secret|api_?key|private_key|access_token|refresh_token|ssn|social_security|credit_card|card_number|cvv|iban|pin_code)(_|$)'
    AND c.name !~* '_(at|id|count|hint|expires?|length)$'
    AND EXISTS (SELECT FROM aclexplode(t.relacl) AS x WHERE x.grantee = 0 AND x.privilege_type = 'SELECT')
GROUP BY c.relation, c.quoted
