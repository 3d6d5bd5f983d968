-- finds: orders(b) orders_b
-- finds: events(kind) events_kind
CREATE TABLE orders (a int PRIMARY KEY, b int);
CREATE INDEX orders_b ON orders (b);
CREATE TABLE events (kind int, at int) PARTITION BY LIST (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES IN (1);
CREATE TABLE events_2 PARTITION OF events FOR VALUES IN (2);
CREATE INDEX events_kind ON events (kind);
DO $$ BEGIN
    FOR n IN 1..100 LOOP PERFORM FROM orders; PERFORM FROM events; END LOOP;
END $$;

-- finds nothing
CREATE TABLE parent (id int PRIMARY KEY, name text UNIQUE, rank int);
CREATE TABLE child (parent_id int REFERENCES parent, rank int, code int);
CREATE INDEX ON child (parent_id);
CREATE UNIQUE INDEX ON child (code);
CREATE INDEX child_rank ON child (rank);
INSERT INTO child (rank) SELECT n FROM generate_series(1, 5000) AS n;
ANALYZE child;
SELECT * FROM child WHERE rank = 7;
CREATE TABLE events (kind int, at int) PARTITION BY LIST (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES IN (1);
CREATE TABLE events_2 PARTITION OF events FOR VALUES IN (2);
CREATE INDEX ON events (kind);
INSERT INTO events SELECT n, 1 FROM generate_series(1, 5000) AS n;
ANALYZE events;
SELECT * FROM events WHERE kind = 7 AND at = 1;
CREATE TABLE nobody_asks (a int, b int);
CREATE INDEX nobody_asks_b ON nobody_asks (b);
DO $$ BEGIN
    FOR n IN 1..100 LOOP PERFORM FROM parent; PERFORM FROM child; PERFORM FROM events; END LOOP;
END $$;
