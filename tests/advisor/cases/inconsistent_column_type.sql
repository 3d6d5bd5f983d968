-- finds: (customer_id) customer_id
CREATE TABLE a (customer_id int);
CREATE TABLE b (customer_id text);

-- finds nothing
CREATE TABLE a (customer_id int, id int);
CREATE TABLE b (customer_id int, id text);
