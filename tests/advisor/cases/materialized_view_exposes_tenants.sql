-- finds: m() m
-- finds: ours() ours
-- finds: narrow() narrow
-- finds: all_of_us() all_of_us
CREATE TABLE t (tenant_id int);
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON t USING (tenant_id = 1);
CREATE MATERIALIZED VIEW m AS SELECT * FROM t;
GRANT SELECT ON m TO advisor_tenant;
CREATE TABLE watched (tenant_id int);
ALTER TABLE watched ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_rows ON watched FOR SELECT TO advisor_watcher USING (true);
CREATE POLICY added ON watched FOR INSERT TO advisor_tenant WITH CHECK (true);
CREATE MATERIALIZED VIEW ours AS SELECT * FROM watched;
GRANT SELECT ON ours TO advisor_tenant, advisor_watcher;
CREATE MATERIALIZED VIEW all_of_us AS SELECT * FROM watched;
GRANT SELECT ON all_of_us TO PUBLIC;
CREATE TABLE narrowed (tenant_id int);
ALTER TABLE narrowed ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_rows ON narrowed FOR SELECT TO advisor_watcher USING (true);
CREATE POLICY but ON narrowed AS RESTRICTIVE FOR SELECT USING (tenant_id < 100);
CREATE MATERIALIZED VIEW narrow AS SELECT * FROM narrowed;
GRANT SELECT ON narrow TO advisor_watcher;

-- finds nothing
CREATE TABLE t (tenant_id int);
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON t USING (tenant_id = 1);
CREATE MATERIALIZED VIEW m AS SELECT * FROM t;
CREATE TABLE open (id int);
CREATE MATERIALIZED VIEW n AS SELECT * FROM open;
GRANT SELECT ON n TO advisor_tenant;
CREATE TABLE watched (tenant_id int);
ALTER TABLE watched ENABLE ROW LEVEL SECURITY;
ALTER TABLE watched OWNER TO advisor_owner;
CREATE POLICY all_rows ON watched FOR SELECT TO advisor_watcher USING (true);
CREATE MATERIALIZED VIEW w AS SELECT * FROM watched;
GRANT SELECT ON w TO advisor_watcher, advisor_owner;
