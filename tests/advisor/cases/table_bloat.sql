-- finds: t()
CREATE TABLE t (a int, b text) WITH (autovacuum_enabled = off);
INSERT INTO t SELECT n, repeat('x', 60) FROM generate_series(1, 30000) AS n;
DELETE FROM t WHERE a % 10 <> 0;
VACUUM ANALYZE t;

-- finds nothing
CREATE TABLE t (a int, b text, c timestamptz, d int);
INSERT INTO t SELECT n, repeat('x', n % 120), now(), CASE WHEN n % 2 = 0 THEN n END FROM generate_series(1, 30000) AS n;
CREATE TABLE roomy (a int, b text) WITH (fillfactor = 50);
INSERT INTO roomy SELECT n, repeat('x', 60) FROM generate_series(1, 20000) AS n;
ANALYZE t, roomy;
