-- finds: v() v
CREATE TABLE t (tenant_id int);
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON t USING (tenant_id = 1);
CREATE VIEW v AS SELECT * FROM t;
GRANT SELECT ON v TO advisor_tenant;

-- finds nothing
CREATE TABLE t (tenant_id int);
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON t USING (tenant_id = 1);
CREATE VIEW v WITH (security_invoker) AS SELECT * FROM t;
GRANT SELECT ON v TO advisor_tenant;
CREATE VIEW private AS SELECT * FROM t;
CREATE VIEW filtered WITH (security_barrier) AS SELECT * FROM t WHERE tenant_id = current_setting('app.tenant')::int;
GRANT SELECT ON filtered TO advisor_tenant;
