-- finds: visits()
CREATE TABLE visits (id int PRIMARY KEY, customer_id int);

-- finds nothing
CREATE TABLE customers (id int PRIMARY KEY);
CREATE TABLE visits (id int PRIMARY KEY, customer_id int REFERENCES customers);
CREATE TABLE settings (name text PRIMARY KEY);
