-- finds: child(parent_id) second
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (parent_id int, CONSTRAINT first FOREIGN KEY (parent_id) REFERENCES parent, CONSTRAINT second FOREIGN KEY (parent_id) REFERENCES parent);

-- finds nothing
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (parent_id int REFERENCES parent, other_id int REFERENCES parent);
