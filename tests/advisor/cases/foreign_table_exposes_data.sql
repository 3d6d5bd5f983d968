-- finds: f() f
CREATE EXTENSION IF NOT EXISTS postgres_fdw;
CREATE SERVER IF NOT EXISTS elsewhere FOREIGN DATA WRAPPER postgres_fdw;
CREATE FOREIGN TABLE f (a int) SERVER elsewhere;
GRANT SELECT ON f TO advisor_tenant;

-- finds nothing
CREATE EXTENSION IF NOT EXISTS postgres_fdw;
CREATE SERVER IF NOT EXISTS elsewhere FOREIGN DATA WRAPPER postgres_fdw;
CREATE FOREIGN TABLE f (a int) SERVER elsewhere;
