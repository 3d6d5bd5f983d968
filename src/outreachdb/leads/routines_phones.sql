-- Digits behind a plus as an international number, NULL where calling code or length fit no plan. A number of a country with
-- the trunk prefix 0 that keeps it behind the code is not certain.
CREATE OR REPLACE FUNCTION outreach.international_phone(p_digits text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    -- Not BETWEEN: PostgreSQL would dump it in another shape than it keeps it, and `migrate verify` compares shapes.
    WHEN octet_length(p_digits) < 7 OR octet_length(p_digits) > 15 OR translate(p_digits, '0123456789', '') <> ''
    THEN NULL
    WHEN left(p_digits, 1) IN ('1', '7') THEN
        CASE WHEN left(p_digits, 1) || ':' || (octet_length(p_digits) - 1)::text = ANY (outreach.phone_lengths())
                 AND substr(p_digits, 2, 1) NOT IN ('0', '8') THEN '+' || p_digits END
    WHEN left(p_digits, 2) || ':' || (octet_length(p_digits) - 2)::text = ANY (outreach.phone_lengths()) THEN
        CASE WHEN substr(p_digits, 3, 1) <> '0' OR left(p_digits, 2) = ANY (outreach.phone_codes_with_zero())
             THEN '+' || p_digits END
    WHEN left(p_digits, 3) || ':' || (octet_length(p_digits) - 3)::text = ANY (outreach.phone_lengths()) THEN
        CASE WHEN substr(p_digits, 4, 1) <> '0' OR left(p_digits, 3) = ANY (outreach.phone_codes_with_zero())
             THEN '+' || p_digits END
END;

-- The digits that people dial inside a country, by its rule "<calling code>:<trunk prefix>". Digits that may begin with the
-- calling code are not certain.
CREATE OR REPLACE FUNCTION outreach.national_phone(p_digits text, p_rule text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN p_digits = '' OR translate(p_digits, '0123456789', '') <> '' OR octet_length(p_digits) > 17
        OR left(p_digits, 2) = '00' THEN NULL
    WHEN p_rule = '1:1' AND octet_length(p_digits) = 10 THEN outreach.international_phone('1' || p_digits)
    WHEN split_part(p_rule, ':', 2) <> ''
    THEN CASE WHEN starts_with(p_digits, split_part(p_rule, ':', 2)) THEN outreach.international_phone(
        split_part(p_rule, ':', 1) || substr(p_digits, octet_length(split_part(p_rule, ':', 2)) + 1)) END
    WHEN NOT starts_with(p_digits, split_part(p_rule, ':', 1))
    THEN outreach.international_phone(split_part(p_rule, ':', 1) || p_digits)
END;

-- A telephone number without what people put between its digits; a leading plus stays.
CREATE OR REPLACE FUNCTION outreach.phone_digits(p_phone text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN translate(replace(p_phone, '(0)', ''), E' ()-./\u00a0\u2009\u202f\u2010\u2011\u2013', '');

-- The digits of a telephone number (outreach.phone_digits) in international form (E.164) where that is certain, else NULL.
-- "+49 (0)30 123456" is one by itself; a number as it is dialled at home needs its country's rule (outreach.phone_rule):
-- behind the trunk prefix, where the country has one, the rest must have a length that numbers of the country have. The
-- plans are those of the library phonenumbers.
CREATE OR REPLACE FUNCTION outreach.phone_e164(p_digits text, p_rule text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN starts_with(p_digits, '+') THEN outreach.international_phone(substr(p_digits, 2))
    WHEN p_rule IS NOT NULL THEN outreach.national_phone(p_digits, p_rule)
END;
