-- finds: t(b) t_b
CREATE TABLE t (a int, b int) WITH (autovacuum_enabled = off);
INSERT INTO t SELECT n, n FROM generate_series(1, 100000) AS n;
CREATE INDEX t_b ON t (b);
DELETE FROM t WHERE a % 10 <> 0;
VACUUM ANALYZE t;

-- finds nothing
CREATE TABLE t (a int, b text) WITH (autovacuum_enabled = off);
INSERT INTO t SELECT n, 'value ' || n FROM generate_series(1, 50000) AS n;
CREATE INDEX ON t (a);
CREATE INDEX ON t (b, a);
VACUUM ANALYZE t;
