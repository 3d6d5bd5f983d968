-- finds: t(tags) t_tags
CREATE TABLE t (tags text[]);
CREATE INDEX t_tags ON t (tags);

-- finds nothing
CREATE TABLE t (tags text[]);
CREATE INDEX ON t USING gin (tags);
