-- finds: t() bare
-- finds: t() checked
CREATE FUNCTION tenant() RETURNS int STABLE LANGUAGE sql RETURN 1;
CREATE TABLE t (id int, owner text);
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY bare ON t USING (id = tenant());
CREATE POLICY checked ON t FOR INSERT WITH CHECK (owner = current_setting('app.owner', true));

-- finds nothing
CREATE FUNCTION tenant() RETURNS int STABLE LANGUAGE sql RETURN 1;
CREATE TABLE t (id int, owner text);
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY wrapped ON t USING (id = (SELECT tenant()) AND owner = (SELECT current_setting('app.owner', true)));
CREATE POLICY of_columns ON t FOR INSERT WITH CHECK (lower(owner) = 'me');
