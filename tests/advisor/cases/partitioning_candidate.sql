-- finds: log(created_at)
CREATE TABLE log (id int, created_at timestamptz NOT NULL);
-- As if it had so many rows.
UPDATE pg_class SET reltuples = 2e8 WHERE oid = 'log'::regclass;

-- finds nothing
CREATE TABLE log (id int, created_at timestamptz NOT NULL);
CREATE TABLE other (id int);
UPDATE pg_class SET reltuples = 2e8 WHERE oid = 'other'::regclass;
CREATE TABLE parted (at timestamptz NOT NULL) PARTITION BY RANGE (at);
UPDATE pg_class SET reltuples = 2e8 WHERE oid = 'parted'::regclass;
