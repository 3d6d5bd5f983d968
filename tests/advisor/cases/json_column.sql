-- finds: t(body)
CREATE TABLE t (body json);

-- finds nothing
CREATE TABLE t (body jsonb);
