-- People, companies and events with the skew of real lists, for the benchmarks of search and segments. Everything follows from a
-- number by hashing, so two runs load the same rows; powers of an even distribution make few values common and most rare.

-- name: make_schema
CREATE SCHEMA bench;

-- name: make_even
-- A number in [0, 1) that follows from n; another salt, another number.
CREATE FUNCTION bench.even(n bigint, salt integer) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (pg_catalog.hashint8extended(n, salt) & 2147483647) / 2147483648.0;

-- name: make_words
-- 15,000 surnames and 1,500 parts of company names, of syllables, in an order that says nothing.
CREATE TABLE bench.words AS
WITH given (kind, one, two, three) AS (VALUES
    ('surname',
     string_to_array('an,ber,cor,da,el,fin,gar,hol,is,jan,kel,lor,mar,nor,ol,pet,quin,ros,ste,tur,ul,vin,wal,bra,cla', ','),
     string_to_array('a,e,i,o,u,an,en,in,on,ar,er,ir,or,al,el,il,ol,as,es,is', ','),
     string_to_array('berg,field,man,son,ton,ley,well,ford,sen,ski,ez,ova,ini,dorf,wood,land,stein,lund,ares,ett,ard,'
                     'kins,worth,ham,by,dal,rup,aux,ic,vic', ',')),
    ('stem',
     string_to_array('blue,north,data,green,sun,bright,open,true,next,smart,core,swift,clear,alpha,nova,iron,silver,red,'
                     'prime,meta,cloud,solid,urban,global,micro', ','),
     string_to_array(',ly,en,er,o', ','),
     string_to_array('path,stone,wave,bridge,forge,point,mind,stream,field,works,line,gate', ',')))
SELECT g.kind, row_number() OVER (PARTITION BY g.kind ORDER BY md5(x || y || z)) - 1 AS n, initcap(x || y || z) AS word
FROM given AS g, unnest(g.one) AS x, unnest(g.two) AS y, unnest(g.three) AS z;

-- name: add_workspaces
-- The large one comes last.
INSERT INTO outreach.workspaces (name)
SELECT CASE WHEN n <= %(small)s THEN 'small-' || n ELSE 'large' END FROM generate_series(1, %(small)s + 1) AS n ORDER BY n
RETURNING id;

-- name: add_companies
INSERT INTO outreach.companies (workspace_id, name, domain, website_url, industry, renewal_month, last_crawled_at)
SELECT %(workspace_id)s, c.name, c.domain, 'https://www.' || c.domain, i.word, CASE WHEN p.n %% 3 = 0 THEN 1 + p.n %% 12 END,
       CASE WHEN p.n %% 4 > 0 THEN now() - bench.even(p.n, 34) * interval '90 days' END
FROM (SELECT n, (n * 7) %% 1500 AS first, (n * 11 + n / 1500) %% 1500 AS second,
             1 + floor(12 * power(bench.even(n, 33), 2))::integer AS suffix,
             1 + floor(16 * power(bench.even(n, 31), 2))::integer AS industry
      FROM generate_series(1, %(companies)s) AS n) AS p
JOIN bench.words AS f ON f.kind = 'stem' AND f.n = p.first
JOIN bench.words AS s ON s.kind = 'stem' AND s.n = p.second
CROSS JOIN LATERAL (SELECT (ARRAY['SaaS', 'Retail', 'Finance', 'Healthcare', 'Manufacturing', 'Consulting', 'Education',
    'Logistics', 'Media', 'Energy', 'Real Estate', 'Insurance', 'Hospitality', 'Telecom', 'Biotech', 'Mining'])[p.industry] AS word) AS i
CROSS JOIN LATERAL (SELECT f.word || ' ' || s.word || (ARRAY['', ' Systems', ' Labs', ' Group', ' Software', ' Partners',
    ' Logistics', ' Media', ' Health', ' Capital', ' Consulting', ' Networks'])[p.suffix] AS name,
    lower(f.word) || lower(s.word) || CASE WHEN p.n > 1500 THEN (p.n / 1500)::text ELSE '' END || '.example' AS domain) AS c
ORDER BY p.n;

-- name: add_leads
-- Most came by imports of 12,000, with one instant each; the others one by one. Addresses that are taken are left out.
INSERT INTO outreach.leads (
    workspace_id, id, email, first_name, last_name, phone, title, company_id, company_name, company_website, industry, country,
    city, source, status, tags, custom_fields, notes, qualification_score, qualified_at, email_status, email_checked_at, created_at,
    updated_at)
SELECT %(workspace_id)s, %(base)s + p.n, lower(x.first || '.' || s.word) || p.mark || '@' || c.domain, x.first, s.word,
       CASE WHEN p.n %% 3 = 0 THEN '+1 555 ' || lpad((p.n %% 10000000)::text, 7, '0') END, x.title, c.id, c.name, c.website_url,
       c.industry, x.country, x.country || ' City ' || floor(60 * power(bench.even(p.n, 7), 2)), 'list ' || p.n / 12000 %% 40,
       x.status, ARRAY(SELECT DISTINCT 'tag' || floor(300 * power(bench.even(p.n, 40 + t), 3)) FROM generate_series(1, (p.n %% 4)::integer) AS t),
       jsonb_build_object('Employees', floor(10 * power(1000, bench.even(p.n, 11)))::integer, 'Plan', x.plan,
                          'Founded', 1950 + p.n * 7 %% 75)
           || CASE WHEN p.n %% 2 = 0 THEN jsonb_build_object('Last Round',
                  to_char(now() - bench.even(p.n, 12) * interval '1500 days', 'YYYY-MM-DD')) ELSE '{}' END
           || CASE WHEN p.n %% 5 < 2 THEN jsonb_build_object('Revenue', round((1e5 * power(1e4, bench.even(p.n, 13)))::numeric, -3))
              ELSE '{}' END,
       CASE WHEN p.n %% 6 = 0 THEN 'Met at the fair, asked for an offer about ' || x.plan || ', call again in week ' || p.n %% 52 END,
       CASE WHEN p.n %% 3 > 0 THEN round((100 * power(bench.even(p.n, 14), 0.7))::numeric, 1)::real END,
       CASE WHEN p.n %% 12 = 1 THEN p.at + bench.even(p.n, 15) * interval '20 days' END, x.email_status,
       CASE WHEN x.email_status <> 'unchecked' THEN p.at + bench.even(p.n, 16) * interval '3 days' END, p.at,
       CASE WHEN x.status = 'new' THEN p.at ELSE least(now(), p.at + bench.even(p.n, 17) * interval '200 days') END
FROM (SELECT n, '' || CASE WHEN %(marked)s THEN to_hex(n) ELSE '' END AS mark,
             floor(15000 * power(bench.even(n, 1), 3))::integer AS surname,
             1 + floor(%(companies)s * power(bench.even(n, 2), 2))::integer AS company,
             now() - interval '730 days' * (1 - (CASE WHEN n / 12000 %% 10 < 7 THEN n / 12000 * 12000 ELSE n END)::float8 / %(leads)s) AS at
      FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
      WHERE NOT %(marked)s OR NOT EXISTS (
          SELECT FROM outreach.leads AS l WHERE l.workspace_id = %(workspace_id)s AND l.id = %(base)s + n)) AS p
JOIN bench.words AS s ON s.kind = 'surname' AND s.n = p.surname
JOIN (SELECT row_number() OVER (ORDER BY id) AS n, * FROM outreach.companies WHERE workspace_id = %(workspace_id)s) AS c
    ON c.n = p.company
CROSS JOIN LATERAL (SELECT
    (ARRAY['James', 'Maria', 'Michael', 'Anna', 'David', 'Sarah', 'Robert', 'Laura', 'John', 'Elena', 'Thomas', 'Julia', 'Daniel',
           'Sofia', 'Peter', 'Emma', 'Mark', 'Nina', 'Paul', 'Clara', 'Andreas', 'Lucia', 'Stefan', 'Ines', 'Martin', 'Grace',
           'Carlos', 'Priya', 'Wei', 'Fatima', 'Oliver', 'Hannah', 'Lucas', 'Ingrid', 'Hiro', 'Aisha', 'Viktor', 'Chloe', 'Mateo',
           'Zoe', 'Bjoern', 'Saoirse', 'Dmitri', 'Yuki', 'Rafael', 'Freya', 'Kwame', 'Beatriz', 'Noah', 'Amelie', 'Barbara',
           'Katharina', 'Aleksander', 'Siobhan', 'Thorsten', 'Guillermo', 'Anastasia', 'Bartholomew', 'Marguerite',
           'Xiomara'])[1 + floor(60 * power(bench.even(p.n, 3), 2))::integer] AS first,
    (ARRAY['CEO', 'Marketing Manager', 'Sales Director', 'CTO', 'Founder', 'Account Executive', 'VP Sales', 'Growth Manager',
           'Product Manager', 'Operations Manager', 'HR Director', 'Chief Marketing Officer', 'Buyer', 'Software Engineer',
           'Head of Growth', 'Head of People', 'Finance Director', 'Office Manager', 'Business Development', 'Data Analyst',
           'Customer Success Lead', 'Procurement Lead', 'IT Administrator', 'Consultant',
           'Growth Engineer'])[1 + floor(25 * power(bench.even(p.n, 4), 1.5))::integer] AS title,
    (ARRAY['US', 'GB', 'DE', 'FR', 'CA', 'AU', 'NL', 'IN', 'ES', 'IT', 'SE', 'CH', 'BR', 'PL', 'BE', 'DK', 'NO', 'IE', 'AT', 'SG',
           'FI', 'PT', 'MX', 'IL', 'JP', 'NZ', 'ZA', 'CZ', 'RO', 'GR'])[1 + floor(30 * power(bench.even(p.n, 5), 2.5))::integer] AS country,
    (ARRAY['new', 'new', 'new', 'new', 'verified', 'verified', 'verified', 'contacted', 'contacted', 'contacted', 'contacted',
           'contacted', 'contacted', 'contacted', 'replied', 'qualified', 'converted', 'unsubscribed', 'bounced',
           'archived'])[1 + floor(20 * bench.even(p.n, 6))::integer] AS status,
    (ARRAY['valid', 'valid', 'valid', 'valid', 'valid', 'unchecked', 'unchecked', 'risky', 'invalid',
           'unknown'])[1 + floor(10 * bench.even(p.n, 8))::integer] AS email_status,
    (ARRAY['free', 'free', 'free', 'team', 'team', 'business', 'enterprise'])[1 + floor(7 * bench.even(p.n, 9))::integer] AS plan
    OFFSET 0) AS x
ORDER BY p.n
ON CONFLICT (workspace_id, email_key) DO NOTHING;

-- name: advance_ids
SELECT setval(pg_get_serial_sequence('outreach.leads', 'id'), %(base)s);

-- name: count_leads
SELECT count(*) FROM outreach.leads AS l WHERE l.workspace_id = %(workspace_id)s;

-- name: add_campaigns
INSERT INTO outreach.campaigns (workspace_id, name, status, created_at, launched_at)
SELECT %(workspace_id)s, 'campaign ' || n, 'running', a.at, a.at
FROM generate_series(1, %(campaigns)s) AS n,
     LATERAL (SELECT now() - interval '320 days' * (%(campaigns)s - n) / %(campaigns)s - interval '6 days' AS at) AS a
ORDER BY n;

-- name: list_campaigns
SELECT c.id, c.launched_at FROM outreach.campaigns AS c WHERE c.workspace_id = %(workspace_id)s ORDER BY c.id;

-- name: add_events
-- What a campaign's audience did, in the order in which it was reported: each mail was delivered or bounced; some were opened, a
-- few of them often, some clicked, some answered.
INSERT INTO outreach.email_events (
    workspace_id, event_key, created_at, received_at, event, provider, send_id, campaign_id, lead_id, step, recipient, raw)
SELECT %(workspace_id)s, md5(e.send_id || e.event || e.nth), e.at, e.at + interval '3 seconds', e.event, 'sendgrid', e.send_id,
       %(campaign_id)s, e.lead_id, 1, 'person' || e.lead_id || '@mail.example',
       jsonb_build_object('event', e.event, 'sg_event_id', md5(e.send_id || e.event || e.nth), 'timestamp',
                          extract(epoch FROM e.at)::bigint, 'ip', '192.0.2.7')
FROM (SELECT a.send_id, a.lead_id, k.event, k.nth,
             least(now(), %(launched_at)s::timestamptz + CASE WHEN k.event IN ('delivered', 'bounced') THEN bench.even(a.send_id, 25)
                 * interval '8 hours' ELSE interval '8 hours' + power(bench.even(a.send_id * 7 + k.nth, 26), 3) * interval '14 days' END) AS at
      FROM (SELECT %(first_send)s + n AS send_id,
                   %(base)s + 1 + floor(%(leads)s * bench.even(%(first_send)s + n, 20))::bigint AS lead_id,
                   bench.even(%(first_send)s + n, 21) AS opens, bench.even(%(first_send)s + n, 22) AS clicks,
                   bench.even(%(first_send)s + n, 23) AS replies
            FROM generate_series(1, %(audience)s) AS n) AS a
      CROSS JOIN LATERAL (
          SELECT CASE WHEN a.opens < 0.03 THEN 'bounced' ELSE 'delivered' END AS event, 1 AS nth
          UNION ALL
          SELECT 'opened', o FROM generate_series(1, CASE WHEN a.opens < 0.55 THEN 0 ELSE 1 + floor(9 * power(a.clicks, 2))::integer END) AS o
          UNION ALL
          SELECT 'clicked', 1 WHERE a.opens >= 0.55 AND a.clicks > 0.8
          UNION ALL
          SELECT 'replied', 1 WHERE a.opens >= 0.03 AND a.replies < 0.03) AS k) AS e
ORDER BY e.at;

-- name: add_engagement
-- As the ingest and the sender keep it: one row for each lead that was mailed.
INSERT INTO outreach.lead_engagement (
    workspace_id, lead_id, last_contacted_at, last_opened_at, last_clicked_at, last_replied_at, sent_count, open_count, click_count,
    reply_count, bounce_count)
SELECT %(workspace_id)s, e.lead_id, max(e.created_at) FILTER (WHERE e.event IN ('delivered', 'bounced')),
       max(e.created_at) FILTER (WHERE e.event = 'opened'), max(e.created_at) FILTER (WHERE e.event = 'clicked'),
       max(e.created_at) FILTER (WHERE e.event = 'replied'), count(*) FILTER (WHERE e.event IN ('delivered', 'bounced')),
       count(*) FILTER (WHERE e.event = 'opened'), count(*) FILTER (WHERE e.event = 'clicked'),
       count(*) FILTER (WHERE e.event = 'replied'), count(*) FILTER (WHERE e.event = 'bounced')
FROM outreach.email_events AS e
WHERE e.workspace_id = %(workspace_id)s
GROUP BY e.lead_id
ORDER BY e.lead_id;
