-- finds: t(a)
CREATE TABLE t (a int);
-- 160 frequent values, of which 100 are listed, and a thousand rare ones.
INSERT INTO t SELECT n % 160 FROM generate_series(1, 16000) AS n UNION ALL SELECT 1000 + n FROM generate_series(1, 1000) AS n;
ANALYZE t;

-- finds nothing
CREATE TABLE t (a int, b int);
INSERT INTO t SELECT n % 50, n FROM generate_series(1, 16000) AS n;
ANALYZE t;
