-- finds: t(code)
CREATE TABLE t (code char(3), flag "char", name varchar(3));

-- finds nothing
CREATE TABLE t (code text, flag "char", name varchar(3));
