-- finds: t()
CREATE TABLE t (id int PRIMARY KEY, a int, b int, c int);

-- finds nothing
CREATE TABLE t (id int PRIMARY KEY, a int NOT NULL, b int, c int);
