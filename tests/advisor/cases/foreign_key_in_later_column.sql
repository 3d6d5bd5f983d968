-- finds: orders(late_id) orders_late_id_fkey
-- finds: orders(brin_id) orders_brin_id_fkey
-- finds: orders(noted_id) orders_noted_id_fkey
-- finds: orders(a, b) orders_a_b_fkey
-- finds: events(parent_id) events_parent_id_fkey
CREATE TABLE parent (id bigint PRIMARY KEY);
CREATE TABLE pair (a int, b int, PRIMARY KEY (a, b));
CREATE TABLE orders (
    id bigint, late_id bigint REFERENCES parent, brin_id bigint REFERENCES parent, noted_id bigint REFERENCES parent,
    at date, a int, b int, FOREIGN KEY (a, b) REFERENCES pair, PRIMARY KEY (id, late_id)
);
CREATE INDEX ON orders USING brin (brin_id);
CREATE INDEX ON orders (at) WHERE noted_id IS NOT NULL;
-- A part of the key that is not unique in the parent.
CREATE INDEX ON orders (a);
-- One partition of two is served as it should be.
CREATE TABLE events (id bigint, parent_id bigint REFERENCES parent, PRIMARY KEY (id, parent_id)) PARTITION BY LIST (id);
CREATE TABLE events_1 PARTITION OF events FOR VALUES IN (1);
CREATE TABLE events_2 PARTITION OF events FOR VALUES IN (2);
CREATE INDEX ON events_1 (parent_id);

-- finds nothing
CREATE EXTENSION IF NOT EXISTS btree_gin;
CREATE TABLE parent (id bigint PRIMARY KEY, price numeric UNIQUE);
CREATE TABLE served (id bigint, parent_id bigint REFERENCES parent, PRIMARY KEY (id, parent_id));
CREATE INDEX ON served (parent_id);
CREATE TABLE inverted (more int, parent_id bigint REFERENCES parent);
CREATE INDEX ON inverted USING gin (more, parent_id);
-- No index that could be walked through: another rule's.
CREATE TABLE bare (parent_id bigint REFERENCES parent);
CREATE TABLE cast_away (id int, price int REFERENCES parent (price), PRIMARY KEY (id, price));
CREATE TABLE partial (id bigint, parent_id bigint REFERENCES parent, live boolean);
CREATE INDEX ON partial (id, parent_id) WHERE live;
CREATE TABLE events (id bigint, parent_id bigint REFERENCES parent) PARTITION BY LIST (id);
CREATE TABLE events_1 PARTITION OF events FOR VALUES IN (1);
CREATE TABLE events_2 PARTITION OF events FOR VALUES IN (2);
CREATE INDEX ON events_1 (id, parent_id);
