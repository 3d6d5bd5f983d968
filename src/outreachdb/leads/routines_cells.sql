-- What a cell says, for imports and bulk_insert_leads alike.

-- A cell without the words that stand for nothing. Names keep "null" and "none": people are called that.
CREATE OR REPLACE FUNCTION outreach.given_name(p_cell text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN octet_length(p_cell) <= 6 AND lower(p_cell) IN ('-', '--', '–', '—', '.', '?', 'n/a', 'n.a.', '#n/a')
    THEN NULL ELSE p_cell END;

CREATE OR REPLACE FUNCTION outreach.given(p_cell text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN octet_length(p_cell) <= 6 AND lower(p_cell) IN ('-', '--', '–', '—', '.', '?', 'n/a', 'n.a.', '#n/a', 'null',
    '(null)', '<null>', 'none', '(none)', 'nan') THEN NULL ELSE p_cell END;

-- What a column such as "Unsubscribed" or "CLEAN_TIME" says: the reason where its cell holds a yes, a date, a cause; NULL
-- where it is empty or a no.
CREATE OR REPLACE FUNCTION outreach.mark_of_flag(p_cell text, p_reason text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN p_cell IS NULL OR lower(p_cell) IN ('0', 'false', 'f', 'no', 'n', 'off', 'nein', 'non', 'nee', 'nie', 'não', 'nao',
    '-', '--', 'n/a', 'null', 'none', 'never', 'subscribed', 'not unsubscribed', 'no bounce', 'not bounced', 'unknown',
    '0000-00-00', '0000-00-00 00:00:00') THEN NULL ELSE p_reason END;

-- What a column such as "Status" says of mailing: the reason of a suppression, or NULL.
CREATE OR REPLACE FUNCTION outreach.mark_of_word(p_cell text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN translate(lower(p_cell), '_-', '  ') IN ('unsubscribed', 'unsubscribe', 'opted out', 'opt out', 'optout',
        'globally unsubscribed', 'abgemeldet', 'désinscrit', 'désabonné', 'dado de baja', 'disiscritto', 'uitgeschreven',
        'wypisany') THEN 'unsubscribed'
    WHEN translate(lower(p_cell), '_-', '  ') IN ('complained', 'complaint', 'spam', 'spam complaint', 'spam complained',
        'spam report', 'marked as spam', 'reported as spam', 'junk', 'abuse') THEN 'complained'
    WHEN translate(lower(p_cell), '_-', '  ') IN ('bounced', 'bounce', 'hard bounce', 'hard bounced', 'hardbounced', 'hardbounce',
        'cleaned', 'unreachable', 'undeliverable') THEN 'bounced'
    WHEN translate(lower(p_cell), '_-', '  ') IN ('blocked', 'blocklisted', 'blacklisted', 'do not contact', 'do not email', 'dnc',
        'suppressed', 'banned') THEN 'blocked'
END;

-- What a mark of a file makes of the lead's status: whoever must not be mailed counts as unsubscribed.
CREATE OR REPLACE FUNCTION outreach.status_of_mark(p_mark text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN p_mark = 'bounced' THEN 'bounced' WHEN p_mark IS NOT NULL THEN 'unsubscribed' END;
