-- finds: t()
CREATE TABLE t (id int);
CREATE POLICY p ON t USING (id > 0);

-- finds nothing
CREATE TABLE t (id int);
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON t USING (id > 0);
