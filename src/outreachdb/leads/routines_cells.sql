-- What a cell says, for imports and bulk_insert_leads alike.

-- A cell without the words that stand for nothing. Names keep "null" and "none": people are called that.
CREATE OR REPLACE FUNCTION outreach.given_name(p_cell text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN octet_length(p_cell) <= 6 AND lower(p_cell) IN ('-', '--', '–', '—', '.', '?', 'n/a', 'n.a.', '#n/a')
    THEN NULL ELSE p_cell END;

-- The words are listed in docs/explanation/mapping.md. "NA" is Namibia, and "unknown" says something: they are kept.
CREATE OR REPLACE FUNCTION outreach.given(p_cell text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN octet_length(p_cell) <= 7 AND lower(p_cell) IN ('-', '--', '---', '–', '—', '.', '?', 'n/a', 'n.a.', '#n/a', 'null',
    '(null)', '<null>', '[null]', 'none', '(none)', 'nan', 'nat', '<na>', 'nil', '\n', '#null!', '#ref!', '#value!', '#div/0!',
    '#name?', '#num!', '(empty)', '(blank)') OR p_cell = 'undefined' THEN NULL ELSE p_cell END;

-- The first key whose value has more characters than that; NULL where none has.
CREATE OR REPLACE FUNCTION outreach.overlong_key(p_fields jsonb, p_characters integer) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT min(each.key) FROM jsonb_each_text(p_fields) AS each (key, value) WHERE length(each.value) > p_characters);

-- Tags, each once and in order, without white space around them.
CREATE OR REPLACE FUNCTION outreach.distinct_tags(p_tags text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY(
    SELECT t.tag
    FROM (SELECT btrim(u.part, E' \t\r\n') AS tag, u.place FROM unnest(p_tags) WITH ORDINALITY AS u (part, place)) AS t
    WHERE t.tag <> ''
    GROUP BY t.tag
    ORDER BY min(t.place));

-- A cell's tags: split at comma, semicolon, bar and, as Google Contacts writes them, at " ::: ", with "* " before its own groups. In
-- double quotes stands a tag that holds one of these, as in CSV.
CREATE OR REPLACE FUNCTION outreach.split_tags(p_text text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN outreach.given(p_text) IS NULL THEN '{}'::text[]
    WHEN strpos(p_text, '"') = 0 AND strpos(p_text, ':::') = 0 AND strpos(p_text, '* ') = 0
        THEN outreach.distinct_tags(string_to_array(translate(p_text, ';|', ',,'), ','))
    ELSE outreach.distinct_tags(ARRAY(
        SELECT coalesce(replace(m.found[1], '""', '"'), regexp_replace(m.found[2], '^\* ', ''))
        FROM regexp_matches(p_text || ',', '\s*(?:"((?:[^"]|"")*)"\s*|((?:[^,;|:]|:(?!::))*))(?:[,;|]|:::)', 'g') WITH ORDINALITY AS m (found, place)
        ORDER BY m.place))
END;

-- Tags as a cell that is read as the same tags.
CREATE OR REPLACE FUNCTION outreach.joined_tags(p_tags text[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT string_agg(
        CASE WHEN t.tag ~ '[,;|]|:::|^"|^\* ' OR outreach.given(t.tag) IS NULL THEN '"' || replace(t.tag, '"', '""') || '"' ELSE t.tag END,
        ',' ORDER BY t.place)
    FROM unnest(p_tags) WITH ORDINALITY AS t (tag, place));

-- What a column such as "Unsubscribed" or "CLEAN_TIME" says: the reason where its cell holds a yes, a date, a cause; NULL
-- where it is empty or a no. A spreadsheet writes FALSE in the language of whoever saved it. A web address, or the list and the
-- link that a mailing puts it into, is where somebody may opt out: it says nothing of whether they did. Nor does an empty list.
CREATE OR REPLACE FUNCTION outreach.mark_of_flag(p_cell text, p_reason text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN p_cell IS NULL OR lower(p_cell) IN ('0', 'false', 'f', 'no', 'n', 'off', 'nein', 'non', 'nee', 'nie', 'não', 'nao',
    'falsch', 'faux', 'falso', 'onwaar', 'fałsz', '-', '--', 'n/a', 'null', 'none', 'never', 'subscribed', 'not unsubscribed', 'no bounce', 'not bounced', 'unknown',
    '0000-00-00', '0000-00-00 00:00:00', '[]', '{}')
    OR p_cell ~* '^(<?(https?://|mailto:|www\.)\S+\s*)+$|^<a\s' THEN NULL ELSE p_reason END;

-- What a column such as "Status" says of mailing: the reason of a suppression, or NULL. "cancelado" and "cancellato" are not among
-- the words: an order, a booking and a contract are called so too.
CREATE OR REPLACE FUNCTION outreach.mark_of_word(p_cell text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN translate(lower(p_cell), '_-', '  ') IN ('unsubscribed', 'unsubscribe', 'opted out', 'opt out', 'optout',
        'globally unsubscribed', 'abgemeldet', 'désinscrit', 'désinscrite', 'désabonné', 'désabonnée', 'dado de baja', 'dada de baja',
        'descadastrado', 'descadastrada', 'cancelou a inscrição', 'inscrição cancelada', 'disiscritto', 'disiscritta',
        'iscrizione annullata', 'uitgeschreven', 'wypisany', 'wypisana') THEN 'unsubscribed'
    WHEN translate(lower(p_cell), '_-', '  ') IN ('complained', 'complaint', 'spam', 'spam complaint', 'spam complained',
        'spam report', 'marked as spam', 'reported as spam', 'junk', 'abuse') THEN 'complained'
    WHEN translate(lower(p_cell), '_-', '  ') IN ('bounced', 'bounce', 'hard bounce', 'hard bounced', 'hardbounced', 'hardbounce',
        'cleaned', 'unreachable', 'undeliverable') THEN 'bounced'
    WHEN translate(lower(p_cell), '_-', '  ') IN ('blocked', 'blocklisted', 'blacklisted', 'do not contact', 'do not email', 'dnc',
        'suppressed', 'banned', 'gesperrt') THEN 'blocked'
END;

-- What a mark of a file makes of the lead's status: whoever must not be mailed counts as unsubscribed.
CREATE OR REPLACE FUNCTION outreach.status_of_mark(p_mark text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN p_mark = 'bounced' THEN 'bounced' WHEN p_mark IS NOT NULL THEN 'unsubscribed' END;
