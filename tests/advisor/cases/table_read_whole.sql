-- finds: t()
CREATE TABLE t (a int, b int);
INSERT INTO t SELECT n, n FROM generate_series(1, 10000) AS n;
DO $$ BEGIN FOR i IN 1..20 LOOP PERFORM count(*) FROM t WHERE b = i; END LOOP; END $$;

-- finds nothing
CREATE TABLE t (a int PRIMARY KEY, b int);
INSERT INTO t SELECT n, n FROM generate_series(1, 10000) AS n;
ANALYZE t;
DO $$ BEGIN FOR i IN 1..40 LOOP PERFORM b FROM t WHERE a = i; END LOOP; END $$;
