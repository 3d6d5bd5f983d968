-- finds: t(id)
CREATE TABLE t (id bigserial PRIMARY KEY);

-- finds nothing
CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
