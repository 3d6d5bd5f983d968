-- finds: t()
CREATE TABLE t (id int PRIMARY KEY);

-- finds nothing
CREATE TABLE t (id int PRIMARY KEY, a int);
