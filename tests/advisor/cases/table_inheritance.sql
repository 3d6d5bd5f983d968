-- finds: heir()
CREATE TABLE t (id int PRIMARY KEY);
CREATE TABLE heir (more int) INHERITS (t);

-- finds nothing
CREATE TABLE t (id int) PARTITION BY LIST (id);
CREATE TABLE t_1 PARTITION OF t FOR VALUES IN (1);
