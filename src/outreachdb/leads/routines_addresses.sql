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

-- A label of Punycode (RFC 3492) in letters: "xn--mnchen-3ya" is "münchen". As it is, in lower case, where it is none or
-- stands for what no domain may hold: symbols, controls, letters that are not composed.
CREATE OR REPLACE FUNCTION outreach.label_in_letters(p_label text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    code CONSTANT text := lower(substr(p_label, 5));
    digits CONSTANT text := regexp_replace(code, '^.*-', '');
    letters text := CASE WHEN strpos(code, '-') > 0 THEN regexp_replace(code, '-[^-]*$', '') ELSE '' END;
    point bigint := 128;
    place bigint := 0;
    bias bigint := 72;
    next integer := 1;
    before bigint;
    weight bigint;
    threshold bigint;
    k bigint;
    digit bigint;
    delta bigint;
BEGIN
    IF lower(left(p_label, 4)) <> 'xn--' OR length(p_label) > 63 OR digits = '' THEN
        RETURN lower(p_label);
    END IF;
    WHILE next <= length(digits) LOOP
        before := place;
        weight := 1;
        k := 36;
        LOOP
            digit := strpos('abcdefghijklmnopqrstuvwxyz0123456789', substr(digits, next, 1)) - 1;
            place := place + digit * weight;
            -- No more than 63 letters of 21 bits: what is further away than that is none.
            IF digit < 0 OR next > length(digits) OR place > 80000000 THEN
                RETURN lower(p_label);
            END IF;
            next := next + 1;
            threshold := least(26, greatest(1, k - bias));
            EXIT WHEN digit < threshold;
            weight := weight * (36 - threshold);
            k := k + 36;
        END LOOP;
        delta := (place - before) / CASE WHEN before = 0 THEN 700 ELSE 2 END;
        delta := delta + delta / (length(letters) + 1);
        k := 0;
        WHILE delta > 455 LOOP
            delta := delta / 35;
            k := k + 36;
        END LOOP;
        bias := k + 36 * delta / (delta + 38);
        point := point + place / (length(letters) + 1);
        place := place % (length(letters) + 1);
        IF point > 1114111 OR point BETWEEN 55296 AND 57343 THEN
            RETURN lower(p_label);
        END IF;
        letters := left(letters, place::integer) || chr(point::integer) || substr(letters, place::integer + 1);
        place := place + 1;
    END LOOP;
    RETURN CASE
        WHEN letters ~ '[\u0080-\u00b6\u2010-\u214d\u214f-\u2183\u2185-\u2bff\ue000-\uf8ff\ufe00-\ufe0f\uff00-\uffff\U0001f000-\U0001faff]'
            OR letters <> lower(normalize(letters, NFKC)) THEN lower(p_label)
        ELSE letters
    END;
END
$$;

-- A domain in its normal form: lower case, plain dots, letters instead of Punycode.
CREATE OR REPLACE FUNCTION outreach.normal_domain(p_domain text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN octet_length(p_domain) = length(p_domain) AND strpos(lower(p_domain), 'xn--') = 0 THEN lower(p_domain)
    -- Compatible forms of some marks begin with a space, which no domain has.
    WHEN normalize(p_domain, NFKC) ~ '[\s[:cntrl:]@]' THEN lower(p_domain)
    ELSE (
        SELECT string_agg(outreach.label_in_letters(label), '.' ORDER BY place)
        FROM string_to_table(
            lower(replace(normalize(translate(p_domain, '。．｡', '...'), NFKC), 'İ', U&'i\0307')), '.')
            WITH ORDINALITY AS cut (label, place))
END;

-- An address in the form in which it is stored: the library's normal form. ASCII without Punycode stays as it is.
CREATE OR REPLACE FUNCTION outreach.normal_address(p_email text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN octet_length(p_email) = length(p_email) AND strpos(lower(p_email), 'xn--') = 0 THEN p_email
    ELSE normalize(left(p_email, strpos(p_email, '@')), NFC)
         || outreach.normal_domain(substr(p_email, strpos(p_email, '@') + 1))
END;

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
