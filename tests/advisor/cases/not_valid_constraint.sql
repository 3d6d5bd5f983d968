-- finds: prices(price) positive
-- finds: prices(parent) prices_parent_fkey
CREATE TABLE parents (id int PRIMARY KEY);
CREATE TABLE prices (price int, parent int);
INSERT INTO prices VALUES (-1, 7);
ALTER TABLE prices ADD CONSTRAINT positive CHECK (price > 0) NOT VALID;
ALTER TABLE prices ADD CONSTRAINT prices_parent_fkey FOREIGN KEY (parent) REFERENCES parents NOT VALID;

-- finds nothing
CREATE TABLE parents (id int PRIMARY KEY);
CREATE TABLE prices (price int CHECK (price > 0), parent int REFERENCES parents);
DO $$ BEGIN
    IF current_setting('server_version_num')::int >= 180000 THEN
        EXECUTE 'ALTER TABLE prices ADD CONSTRAINT hopeful CHECK (price > 9) NOT ENFORCED';
        EXECUTE 'ALTER TABLE prices ADD CONSTRAINT wished FOREIGN KEY (price) REFERENCES parents NOT ENFORCED';
    END IF;
END $$;
