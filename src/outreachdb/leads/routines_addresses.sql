-- What an address is, for every way into the database. The judge is the library email-validator (without DNS); Python asks it
-- for the addresses that only it can judge. Here stands what is certain without it: see docs/decisions/0012.

-- Whether an address is one of the ordinary ones that email-validator accepts as they are: a proven subset, one cheap look
-- per row of an import. Up to 64 octets, so no label or local part can be too long.
CREATE OR REPLACE FUNCTION outreach.ordinary_email(p_email text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN octet_length(p_email) <= 64
    AND p_email ~ '^[-A-Za-z0-9!#$%&''*+/=?^_`{|}~À-ÖØ-öø-ɏ]+(?:\.[-A-Za-z0-9!#$%&''*+/=?^_`{|}~À-ÖØ-öø-ɏ]+)*@(?:[A-Za-z0-9]+[.-])*[A-Za-z0-9]+\.[A-Za-z]+$'
    AND lower(right(p_email, 5)) NOT IN ('.arpa', '.test', 'lhost', 'local', 'onion', 'valid');

-- An address with plain dots between the labels of its domain; people who write Chinese or Japanese type others.
CREATE OR REPLACE FUNCTION outreach.dotted_address(p_email text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN left(p_email, strpos(p_email, '@')) || translate(substr(p_email, strpos(p_email, '@') + 1), '。．｡', '...');

-- Why a text is certainly no e-mail address, or NULL. Of ASCII the answer is the library's, but for xn-- labels; of other
-- letters only what no address can hold is refused.
CREATE OR REPLACE FUNCTION outreach.email_problem(p_email text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN p_email IS NULL OR outreach.ordinary_email(p_email) THEN NULL
    WHEN octet_length(p_email) > 254 THEN 'longer than the 254 octets that an address may have'
    WHEN octet_length(p_email) = length(p_email) THEN CASE
        WHEN p_email !~ '^[-A-Za-z0-9!#$%&''*+/=?^_`{|}~]+(\.[-A-Za-z0-9!#$%&''*+/=?^_`{|}~]+)*@([A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?$'
            OR p_email !~ '[A-Za-z]$' OR p_email ~* '[@.](?!xn)[a-z0-9-]{2}--' THEN 'not an e-mail address'
        WHEN p_email ~* '[@.](arpa|invalid|local|localhost|onion|test)$' THEN 'not an e-mail address: a reserved domain'
    END
    WHEN outreach.dotted_address(p_email) !~ '^[^@\s[:cntrl:]]+@[^@\s[:cntrl:]]+\.[^@\s[:cntrl:]]+$' THEN 'not an e-mail address'
END;

-- A text without the white space and the invisible characters around it.
CREATE OR REPLACE FUNCTION outreach.trimmed(p_text text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN btrim(p_text, E' \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\u0085\u00a0\u00ad\u1680\u180e\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202f\u205f\u2060\u3000\ufeff');

-- The address in a cell: "mailto:ann@x.org?subject=Hi" and "Ann Lee <ann@x.org>" hold ann@x.org; others are it as a whole.
CREATE OR REPLACE FUNCTION outreach.bare_address(p_cell text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN outreach.trimmed(CASE
    WHEN p_cell ~* '^mailto:' THEN regexp_replace(p_cell, '^mailto:([^?]*).*$', '\1', 'i')
    WHEN p_cell ~ '^[^<>]*<[^<>]+>$' THEN regexp_replace(p_cell, '^[^<>]*<\s*(?:mailto:)?([^<>?]*)[^<>]*>$', '\1', 'i')
    ELSE p_cell
END);

-- What is worth knowing of an address before it is mailed: "role" (info@, sales@), "disposable" (its domain is);
-- NULL where nothing is.
CREATE OR REPLACE FUNCTION outreach.email_flags(p_email_key text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN split_part(p_email_key, '@', 2) = ANY (outreach.disposable_domains())
    THEN CASE WHEN split_part(p_email_key, '@', 1) = ANY (outreach.role_names()) THEN '{disposable,role}'::text[]
              ELSE '{disposable}'::text[] END
    WHEN split_part(p_email_key, '@', 1) = ANY (outreach.role_names()) THEN '{role}'::text[]
END;
