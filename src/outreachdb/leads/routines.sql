-- requires: 0010

-- A web address with its scheme: as given, or with https:// before what looks like a host; NULL for anything else.
CREATE OR REPLACE FUNCTION outreach.normal_url(p_url text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN p_url ~ '^https?://[^\s[:cntrl:]/]+[^\s[:cntrl:]]*$' THEN p_url
    WHEN p_url ~* '^https?://[^\s[:cntrl:]/]+[^\s[:cntrl:]]*$'
        THEN lower(split_part(p_url, '://', 1)) || substr(p_url, strpos(p_url, '://'))
    WHEN p_url ~ '^(//)?[^\s[:cntrl:]/@:?#,]+\.[^\s[:cntrl:]/@:?#.,0-9][^\s[:cntrl:]/@:?#.,]+(:[0-9]+)?([/?#][^\s[:cntrl:]]*)?$'
        THEN 'https://' || ltrim(p_url, '/')
END;

-- The host of a web address in lower case, without "www.", port and login; companies are known by it. NULL if it is
-- longer than a host can be.
CREATE OR REPLACE FUNCTION outreach.web_domain(p_url text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN length(substring(p_url FROM '^https?://([^/?#]*)')) <= 253
    THEN substring(lower(p_url) FROM '^https?://(?:[^/@?#]*@)?(?:www\.)?([^/:?#@]+)') END;

-- A score between 0 and 100 ("85", "85.5", "85,5", "85 %"), else NULL.
CREATE OR REPLACE FUNCTION outreach.score_of(p_text text) RETURNS real
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN p_text ~ '^\+?0*([0-9]{1,2}([.,][0-9]{1,20})?|100([.,]0{1,20})?)( ?%)?$'
        THEN replace(rtrim(p_text, ' %'), ',', '.')::real
    -- As programs write very small ones; a real ends at 1e-45.
    WHEN p_text ~ '^[1-9](\.[0-9]{1,20})?e-([0-3][0-9]|4[0-4])$' THEN p_text::real
END;

-- The first name in a full name: before the last word, or after the comma of "Last, First". Words may stand on lines of their own.
CREATE OR REPLACE FUNCTION outreach.first_of_name(p_name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN strpos(p_name, ',') > 0 THEN nullif(btrim(split_part(p_name, ',', 2), ' ' || chr(10)), '')
    WHEN strpos(p_name, ' ') > 0 OR strpos(p_name, chr(10)) > 0
        THEN btrim(regexp_replace(translate(p_name, chr(10), ' '), '\s+\S+$', ''))
    ELSE p_name
END;

CREATE OR REPLACE FUNCTION outreach.last_of_name(p_name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN strpos(p_name, ',') > 0 THEN nullif(btrim(split_part(p_name, ',', 1), ' ' || chr(10)), '')
    WHEN strpos(p_name, ' ') > 0 OR strpos(p_name, chr(10)) > 0 THEN substring(p_name FROM '\S+$')
END;

-- What a suppression makes of a lead's status; NULL where it says nothing about the lead.
CREATE OR REPLACE FUNCTION outreach.suppressed_status(p_reason text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN p_reason IN ('unsubscribed', 'complained') THEN 'unsubscribed' WHEN p_reason = 'bounced' THEN 'bounced' END;
