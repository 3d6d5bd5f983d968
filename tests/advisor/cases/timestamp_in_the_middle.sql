-- finds: t(a, at, b) t_all
CREATE TABLE t (a int, at timestamptz, b int);
CREATE INDEX t_all ON t (a, at, b);

-- finds nothing
CREATE TABLE t (a int, at timestamptz, id int, PRIMARY KEY (at, a));
CREATE INDEX ON t (a, at);
CREATE INDEX ON t (a, at DESC, id DESC);
