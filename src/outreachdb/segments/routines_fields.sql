-- Every field that a definition may name but custom ones: its kind, which says how it is tested, and the operators that go
-- with it. Their opposites (not_equals, not_in, not_contains, has_none, is_not_set) go with it as well.
CREATE OR REPLACE FUNCTION outreach.segment_fields() RETURNS TABLE (field text, kind text, operators text[])
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT f.field, k.kind, k.operators
    FROM (VALUES
        ('text', '{equals,in,contains,starts_with,ends_with,matches,is_set}'::text[], '{city,company_name,company_website,country,
            email,email_status,first_name,industry,last_name,linkedin_url,notes,phone,phone_e164,source,source_key,status,timezone,title}'::text[]),
        ('integer', '{equals,in,gt,gte,lt,lte,between,is_set}', '{company_id,id,qualification_latency_ms}'),
        ('real', '{equals,in,gt,gte,lt,lte,between,is_set}', '{qualification_score}'),
        ('date', '{equals,before,after,gt,gte,lt,lte,between,within_last,is_set}',
            '{created_at,email_checked_at,profile_checked_at,qualified_at,updated_at}'),
        ('tags', '{has_any,has_all,is_set}', '{email_flags,tags}'),
        ('company text', '{equals,in,contains,starts_with,ends_with,matches,is_set}',
            '{company.domain,company.industry,company.linkedin_url,company.name,company.news_url,company.website_url}'),
        ('company date', '{equals,before,after,gt,gte,lt,lte,between,within_last,is_set}',
            '{company.created_at,company.last_crawled_at,company.updated_at}'),
        ('month', '{equals,in,gt,gte,lt,lte,between,within_next_months,is_set}', '{company.renewal_month}'),
        ('country', '{equals,in,is_set}', '{country_code}'),
        ('level', '{equals,in}', '{engagement}'),
        ('suppressed', '{equals}', '{suppressed}')
    ) AS k (kind, operators, fields)
    CROSS JOIN LATERAL unnest(k.fields) AS f (field)
$$;

-- The operators of custom fields.
CREATE OR REPLACE FUNCTION outreach.segment_custom_operators() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '{equals,in,contains,starts_with,ends_with,matches,gt,gte,lt,lte,between,before,after,within_last,has_any,has_all,is_set}'::text[];

-- What somebody may have meant: a custom field of that name among the newest leads, or the field that is spelt most alike.
CREATE OR REPLACE FUNCTION outreach.segment_nearest(p_field text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(
        (SELECT 'custom.' || k.key
         FROM (SELECT n.custom_fields FROM outreach.leads AS n WHERE n.workspace_id = outreach.required_workspace()
               ORDER BY n.created_at DESC LIMIT 100) AS newest
         CROSS JOIN LATERAL jsonb_object_keys(newest.custom_fields) AS k (key)
         WHERE lower(k.key) = lower(p_field)
         LIMIT 1),
        (SELECT f.field FROM outreach.segment_fields() AS f
         WHERE public.similarity(f.field, left(p_field, 100)) > 0.2
         ORDER BY public.similarity(f.field, left(p_field, 100)) DESC, f.field LIMIT 1))
$$;
