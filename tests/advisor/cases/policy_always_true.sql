-- finds: t() open
CREATE TABLE t (id int);
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY open ON t USING (true);

-- finds nothing
CREATE TABLE t (id int);
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY readable ON t FOR SELECT USING (true);
CREATE POLICY trusted ON t TO advisor_owner USING (true) WITH CHECK (true);
