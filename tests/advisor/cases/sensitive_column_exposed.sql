-- finds: people(password_hash, api_key)
CREATE TABLE people (id int, password_hash text, api_key text);
GRANT SELECT ON people TO PUBLIC;

-- finds nothing
CREATE TABLE people (id int, password_hash text);
GRANT SELECT ON people TO advisor_tenant;
CREATE TABLE facts (password_changed_at date);
GRANT SELECT ON facts TO PUBLIC;
