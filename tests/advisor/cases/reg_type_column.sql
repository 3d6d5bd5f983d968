-- finds: t(kind)
CREATE TABLE t (kind regclass);

-- finds nothing
CREATE TABLE t (kind text);
