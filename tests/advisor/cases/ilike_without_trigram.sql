-- finds: people(name)
-- finds: people(city)
-- finds: people(lower(title))
CREATE TABLE people (id int, name text, city text, title text);
CREATE INDEX ON people (name);
SELECT id FROM yes_ilike_without_trigram.people WHERE name ILIKE '%ann%';
SELECT id FROM yes_ilike_without_trigram.people AS p JOIN yes_ilike_without_trigram.people AS q USING (id) WHERE p.city LIKE '%x' OR false;
SELECT count(*) FROM (SELECT id FROM yes_ilike_without_trigram.people WHERE city LIKE '%port') AS s;
SELECT id FROM yes_ilike_without_trigram.people WHERE lower(title) LIKE '%chief%';

-- finds nothing
CREATE EXTENSION pg_trgm SCHEMA tools;
CREATE TABLE people (id int, name text, city text);
CREATE INDEX ON people USING gin (name tools.gin_trgm_ops);
CREATE INDEX ON people (city text_pattern_ops);
SELECT id FROM no_ilike_without_trigram.people WHERE name ILIKE '%ann%' AND city NOT LIKE '%x';
SELECT id FROM no_ilike_without_trigram.people WHERE city LIKE 'Lond%';
