-- finds: t(code)
CREATE TABLE t (code varchar(9) PRIMARY KEY);

-- finds nothing
CREATE TABLE t (id uuid PRIMARY KEY, code text UNIQUE);
