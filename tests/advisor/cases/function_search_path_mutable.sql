-- finds: () risky()
-- finds: () loose(a integer)
CREATE FUNCTION risky() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
CREATE FUNCTION loose(a int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN a; END';

-- finds nothing
CREATE FUNCTION pinned() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = '' AS 'SELECT 1';
CREATE FUNCTION standard() RETURNS int LANGUAGE sql RETURN 1;
