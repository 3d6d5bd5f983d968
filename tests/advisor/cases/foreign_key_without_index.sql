-- finds: child(parent_id) child_parent_id_fkey
-- finds: child(note_id) child_note_id_fkey
-- finds: child(as_integer) child_as_integer_fkey
-- finds: hashed(parent_id) hashed_parent_id_fkey
-- finds: events(parent_id) events_parent_id_fkey
-- finds: measured(parent_id) measured_parent_id_fkey
-- finds: unready(parent_id) unready_parent_id_fkey
-- finds: "Odd"("Parent") Odd_Parent_fkey
CREATE TABLE parent (id bigint PRIMARY KEY, price numeric UNIQUE);
CREATE TABLE child (
    id bigint PRIMARY KEY, parent_id bigint REFERENCES parent, note_id bigint REFERENCES parent, deleted_at timestamptz,
    as_integer int REFERENCES parent (price)
);
-- Says more than the check asks; holds the column uncast; carries it along only.
CREATE INDEX ON child (note_id) WHERE deleted_at IS NULL;
CREATE INDEX ON child (id, note_id) WHERE note_id IS NOT NULL AND deleted_at IS NULL;
CREATE INDEX ON child (as_integer);
CREATE INDEX ON child (id) INCLUDE (parent_id);
-- Hash can't be walked through.
CREATE TABLE hashed (parent_id bigint REFERENCES parent, other int);
CREATE INDEX ON hashed USING hash (other) WHERE parent_id IS NOT NULL;
CREATE TABLE events (id bigint, parent_id bigint REFERENCES parent, at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
-- One partition of two is served.
CREATE INDEX ON events_1 (parent_id);
CREATE TABLE measured (id bigint, parent_id bigint REFERENCES parent) PARTITION BY LIST (id);
-- The index of the parent alone serves nobody: it is not finished.
CREATE TABLE measured_1 PARTITION OF measured FOR VALUES IN (1);
CREATE INDEX ON ONLY measured (parent_id);
CREATE TABLE unready (parent_id bigint REFERENCES parent);
INSERT INTO parent VALUES (1, 1);
INSERT INTO unready VALUES (1), (1);
CREATE UNIQUE INDEX CONCURRENTLY unready_parent ON unready (parent_id);
CREATE TABLE "Odd" ("Parent" bigint REFERENCES parent, live boolean);
CREATE INDEX ON "Odd" ("Parent") WHERE "Parent" IS NOT NULL AND live;

-- finds nothing
CREATE EXTENSION IF NOT EXISTS btree_gin;
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE TABLE parent (tenant int, id bigint UNIQUE, PRIMARY KEY (tenant, id));
CREATE TABLE plain (id bigint REFERENCES parent (id), more int);
CREATE INDEX ON plain (id, more);
CREATE TABLE partial ("Parent" bigint REFERENCES parent (id));
CREATE INDEX ON partial ("Parent") WHERE "Parent" IS NOT NULL;
CREATE TABLE second (tenant int, parent_id bigint REFERENCES parent (id), PRIMARY KEY (tenant, parent_id));
CREATE TABLE hashed (id bigint REFERENCES parent (id));
CREATE INDEX ON hashed USING hash (id);
CREATE TABLE inverted (more int, id bigint REFERENCES parent (id));
CREATE INDEX ON inverted USING gin (more, id);
CREATE TABLE general (more int, id bigint REFERENCES parent (id));
CREATE INDEX ON general USING gist (id, more);
-- In any order; with a predicate over both.
CREATE TABLE pair (tenant int, parent_id bigint, FOREIGN KEY (tenant, parent_id) REFERENCES parent);
CREATE INDEX ON pair (parent_id, tenant) WHERE parent_id IS NOT NULL AND tenant IS NOT NULL;
-- parent (id) is unique by itself.
CREATE TABLE half (tenant int, parent_id bigint, FOREIGN KEY (tenant, parent_id) REFERENCES parent);
CREATE INDEX ON half (parent_id);
-- A type of its own that the operator class knows.
CREATE TABLE narrow (id int REFERENCES parent (id));
CREATE INDEX ON narrow (id);
CREATE TABLE code (code text COLLATE "C" PRIMARY KEY);
CREATE TABLE coded (code varchar(9) COLLATE "C" REFERENCES code);
CREATE INDEX ON coded (code);
-- Each partition has an index, with its columns in another order, one of them of its own.
CREATE TABLE events (id bigint, parent_id bigint REFERENCES parent (id)) PARTITION BY LIST (id);
CREATE TABLE events_1 (parent_id bigint, id bigint);
ALTER TABLE events ATTACH PARTITION events_1 FOR VALUES IN (1);
CREATE TABLE events_2 PARTITION OF events FOR VALUES IN (2);
CREATE INDEX ON events_1 (parent_id);
CREATE INDEX ON events_2 (parent_id);
CREATE TABLE whole (id bigint, parent_id bigint REFERENCES parent (id)) PARTITION BY LIST (id);
CREATE INDEX ON whole (parent_id);
-- A foreign key into a partitioned table is one key, whatever the catalogue holds for each partition.
CREATE TABLE target (id bigint PRIMARY KEY) PARTITION BY LIST (id);
CREATE TABLE target_1 PARTITION OF target FOR VALUES IN (1);
CREATE TABLE into_target (id bigint PRIMARY KEY REFERENCES target);
