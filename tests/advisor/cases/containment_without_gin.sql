-- finds: docs(body)
-- finds: docs(tags)
CREATE TABLE docs (id int, body jsonb, tags text[]);
SELECT id FROM yes_containment_without_gin.docs WHERE body @> '{"a": 1}';
SELECT id FROM yes_containment_without_gin.docs AS d WHERE id = 1 AND d.tags && ARRAY['a'];

-- finds nothing
CREATE TABLE docs (id int, body jsonb, tags text[], span int4range);
CREATE INDEX ON docs USING gin (body);
CREATE INDEX ON docs USING gin (tags);
SELECT id FROM no_containment_without_gin.docs WHERE body @> '{"a": 1}' AND tags @> ARRAY['a'] AND span @> 3;
