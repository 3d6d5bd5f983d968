-- finds: child(parent_id) child_parent_id_fkey
-- finds: child(code) child_code_fkey
-- finds: events(parent_id) events_parent_id_fkey
CREATE TABLE parent (id bigint PRIMARY KEY, code varchar(20) UNIQUE);
CREATE TABLE child (parent_id int REFERENCES parent, code varchar(10) REFERENCES parent (code));
CREATE TABLE events (parent_id int REFERENCES parent, at int) PARTITION BY LIST (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES IN (1);

-- finds nothing
CREATE TABLE parent (a int, b bigint, PRIMARY KEY (a, b));
CREATE TABLE child (a int, b bigint, FOREIGN KEY (a, b) REFERENCES parent);
