-- finds: orders(status)
-- finds: "Tickets"("Status")
CREATE TABLE orders (status text);
INSERT INTO orders SELECT CASE WHEN n % 3 = 0 THEN 'it''s done' ELSE 'open' END FROM generate_series(1, 300) AS n;
ANALYZE orders;
CREATE TABLE "Tickets" ("Status" text);

-- finds nothing
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE statuses (name text PRIMARY KEY);
CREATE TABLE orders (status text CHECK (status IN ('open', 'done')), order_status text REFERENCES statuses, status_id int, state text, mood_status mood);
