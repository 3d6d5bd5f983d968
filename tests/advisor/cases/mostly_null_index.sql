-- finds: t(rare) t_rare
CREATE TABLE t (id int, rare int);
INSERT INTO t SELECT n, CASE WHEN n % 10 = 0 THEN n END FROM generate_series(1, 500) AS n;
CREATE INDEX t_rare ON t (rare);
ANALYZE t;

-- finds nothing
CREATE TABLE t (id int, rare int);
INSERT INTO t SELECT n, CASE WHEN n % 10 = 0 THEN n END FROM generate_series(1, 500) AS n;
CREATE INDEX ON t (rare) WHERE rare IS NOT NULL;
CREATE INDEX ON t (id);
ANALYZE t;
