-- finds: t(a) t_a
CREATE TABLE t (a int NOT NULL);
CREATE INDEX t_a ON t (a) WHERE a IS NOT NULL;

-- finds nothing
CREATE TABLE t (a int);
CREATE INDEX ON t (a) WHERE a IS NOT NULL;
