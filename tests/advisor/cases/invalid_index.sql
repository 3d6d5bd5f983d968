-- finds: twice(a) twice_a
CREATE TABLE twice (a int);
INSERT INTO twice VALUES (1), (1);
CREATE UNIQUE INDEX CONCURRENTLY twice_a ON twice (a);

-- finds nothing
CREATE TABLE events (at date) PARTITION BY RANGE (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE INDEX ON ONLY events (at);
CREATE INDEX ON events_1 (at);
