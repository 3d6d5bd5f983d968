-- finds: c(tenant_id)
CREATE TABLE a (tenant_id int);
CREATE TABLE b (tenant_id int);
CREATE TABLE c (tenant_id int);
CREATE TABLE d (tenant_id int);
ALTER TABLE a ENABLE ROW LEVEL SECURITY;
ALTER TABLE b ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON a USING (tenant_id = 1);
CREATE POLICY p ON b USING (tenant_id = 1);
GRANT SELECT ON c TO advisor_tenant;

-- finds nothing
CREATE TABLE a (group_id int);
CREATE TABLE b (group_id int);
CREATE TABLE c (group_id int);
CREATE TABLE d (name text);
ALTER TABLE a ENABLE ROW LEVEL SECURITY;
ALTER TABLE b ENABLE ROW LEVEL SECURITY;
ALTER TABLE c ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON a USING (group_id = 1);
CREATE POLICY p ON b USING (group_id = 1);
CREATE POLICY p ON c USING (group_id = 1);
GRANT SELECT ON c, d TO advisor_tenant;
-- A role that sees all rows anyway.
CREATE TABLE e (group_id int);
GRANT SELECT ON e TO advisor_owner;
CREATE POLICY all_rows ON a TO advisor_owner USING (true);
