-- finds: people(name, id)
CREATE TABLE people (id int, name text);
SELECT id FROM yes_offset_paging.people ORDER BY name, id LIMIT 10 OFFSET 100;

-- finds nothing
CREATE TABLE people (id int, name text);
SELECT id FROM no_offset_paging.people WHERE (name, id) > ('a', 1) ORDER BY name, id LIMIT 10;
