-- finds: people(email)
-- finds: people(work_email)
CREATE TABLE people (id int PRIMARY KEY, email text, work_email varchar(99), email_id int);
INSERT INTO people VALUES (1, 'a@b.co', 'no address'), (2, 'x y@z.co', 'c@d.eu'), (3, 'plain', NULL);

-- finds nothing
CREATE DOMAIN address AS text CHECK (value ~ '@');
CREATE TABLE people (email text CHECK (email ~ '^[^@]+@[^@]+$'), other_email address, email_sent boolean, email_key text GENERATED ALWAYS AS ('x') STORED);
