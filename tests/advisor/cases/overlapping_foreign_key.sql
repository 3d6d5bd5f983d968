-- finds: child(b) small
CREATE TABLE parent (a int, b int UNIQUE, PRIMARY KEY (a, b));
CREATE TABLE child (a int, b int, CONSTRAINT large FOREIGN KEY (a, b) REFERENCES parent, CONSTRAINT small FOREIGN KEY (b) REFERENCES parent (b));

-- finds nothing
CREATE TABLE parent (a int, b int UNIQUE, PRIMARY KEY (a, b));
CREATE TABLE child (a int, b int, c int, FOREIGN KEY (a, b) REFERENCES parent, FOREIGN KEY (c) REFERENCES parent (b));
