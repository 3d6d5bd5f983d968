-- finds: t()
CREATE TABLE t (a int PRIMARY KEY, b int) WITH (autovacuum_enabled = off);
CREATE INDEX ON t (b);
INSERT INTO t SELECT n, n FROM generate_series(1, 1500) AS n;
UPDATE t SET b = b + 1;

-- finds nothing
CREATE TABLE t (a int PRIMARY KEY, b int) WITH (autovacuum_enabled = off, fillfactor = 40);
INSERT INTO t SELECT n, n FROM generate_series(1, 1500) AS n;
UPDATE t SET b = b + 1;
