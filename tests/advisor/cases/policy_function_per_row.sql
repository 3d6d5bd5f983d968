-- finds: t() bare
-- finds: t() checked
-- finds: t() looked_up
CREATE FUNCTION tenant() RETURNS int STABLE LANGUAGE sql RETURN 1;
CREATE TABLE t (id int, owner text);
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY bare ON t USING (id = tenant());
CREATE POLICY checked ON t FOR INSERT WITH CHECK (owner = current_setting('app.owner', true));
-- A sub-select that reads a table calls it for each row of that one.
CREATE TABLE members (t_id int, owner text);
CREATE POLICY looked_up ON t USING (EXISTS (SELECT FROM members AS m WHERE m.t_id = t.id AND m.owner = current_setting('app.owner')));

-- finds nothing
CREATE FUNCTION tenant() RETURNS int STABLE LANGUAGE sql RETURN 1;
CREATE TABLE t (id int, owner text);
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY wrapped ON t USING (id = (SELECT tenant()) AND owner = (SELECT current_setting('app.owner', true)));
CREATE TABLE members (t_id int, owner text);
CREATE POLICY cast_inside ON t USING (id = (SELECT current_setting('app.id', true)::int));
CREATE POLICY deeper ON t USING (id = (SELECT coalesce(nullif(current_setting('app.id', true), '')::int, tenant())));
CREATE POLICY looked_up ON t USING (id IN (SELECT m.t_id FROM members AS m WHERE m.owner = (SELECT current_setting('app.owner'))));
CREATE POLICY of_columns ON t FOR INSERT WITH CHECK (lower(owner) = 'me');
