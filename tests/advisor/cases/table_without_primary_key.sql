-- finds: log()
-- finds: nearly()
-- finds: events()
CREATE TABLE log (a int);
CREATE TABLE nearly (a int NOT NULL);
CREATE UNIQUE INDEX nearly_a ON nearly (a);
CREATE TABLE events (at date) PARTITION BY RANGE (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');

-- finds nothing
CREATE TABLE log (a int PRIMARY KEY);
CREATE TABLE events (at date PRIMARY KEY) PARTITION BY RANGE (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
