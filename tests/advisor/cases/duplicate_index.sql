-- finds: plain(a) plain_again, plain_more
-- finds: uniquely(a) uniquely_plain
-- finds: reversed(a) reversed_desc
-- finds: keyed(id) keyed_id_key
-- finds: expressed(lower(a)) expressed_2
-- finds: events(at) events_1_own
-- finds: lead(a, b) lead_2
CREATE TABLE plain (a int);
CREATE INDEX plain_a ON plain (a);
CREATE INDEX plain_again ON plain (a);
CREATE INDEX plain_more ON plain (a);
CREATE TABLE uniquely (a int);
CREATE UNIQUE INDEX uniquely_first ON uniquely (a);
CREATE INDEX uniquely_plain ON uniquely (a);
CREATE TABLE reversed (a int);
CREATE INDEX reversed_asc ON reversed (a);
CREATE INDEX reversed_desc ON reversed (a DESC);
-- Both back constraints: told, but nothing to drop.
CREATE TABLE keyed (id int CONSTRAINT keyed_pkey PRIMARY KEY);
ALTER TABLE keyed ADD CONSTRAINT keyed_id_key UNIQUE (id);
CREATE TABLE expressed (a text, live boolean);
CREATE INDEX expressed_1 ON expressed (lower(a)) WHERE live;
CREATE INDEX expressed_2 ON expressed (lower(a)) WHERE live;
CREATE TABLE events (at date) PARTITION BY RANGE (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE INDEX events_1_own ON events_1 (at);
CREATE INDEX events_at ON ONLY events (at);
CREATE INDEX events_1_at ON events_1 (at);
ALTER INDEX events_at ATTACH PARTITION events_1_at;
CREATE TABLE lead (a int, b int);
CREATE INDEX lead_1 ON lead (a, b);
CREATE INDEX lead_2 ON lead (a DESC, b DESC);

-- finds nothing
CREATE TABLE priorities (priority int, name text, tags int[], live boolean);
CREATE INDEX ON priorities (priority);
CREATE INDEX ON priorities (priority DESC NULLS LAST);
CREATE INDEX ON priorities (name);
CREATE INDEX ON priorities (name text_pattern_ops);
CREATE INDEX ON priorities (name COLLATE "C");
CREATE INDEX ON priorities (name) WHERE live;
CREATE INDEX ON priorities (name) INCLUDE (priority);
CREATE INDEX ON priorities (name, priority);
CREATE INDEX ON priorities (name, priority DESC);
CREATE INDEX ON priorities (priority, name);
CREATE INDEX ON priorities USING hash (name);
CREATE INDEX ON priorities (lower(name));
CREATE TABLE events (at date) PARTITION BY RANGE (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE INDEX ON events (at);
