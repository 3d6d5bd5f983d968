-- finds: t(id)
-- finds: u(t_id)
CREATE TABLE t (id int PRIMARY KEY);
INSERT INTO t SELECT 2000000000 + n FROM generate_series(1, 200) AS n;
CREATE TABLE u (t_id int REFERENCES t, unkeyed int);
INSERT INTO u SELECT id, id FROM t;
ANALYZE t, u;

-- finds nothing
CREATE TABLE t (id int PRIMARY KEY, big bigint UNIQUE);
INSERT INTO t SELECT n, 2000000000 + n FROM generate_series(1, 200) AS n;
ANALYZE t;
