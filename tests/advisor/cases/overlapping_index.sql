-- finds: orders(a) orders_a
-- finds: orders(a, b) orders_a_b
-- finds: included(a) included_a
-- finds: turned(a) turned_a
CREATE TABLE orders (a int, b int, c int);
CREATE INDEX orders_a ON orders (a);
CREATE INDEX orders_a_b ON orders (a, b);
CREATE INDEX orders_a_b_c ON orders (a, b, c);
CREATE TABLE included (a int, b int);
CREATE INDEX included_a ON included (a);
CREATE INDEX included_a_with_b ON included (a) INCLUDE (b);
CREATE TABLE turned (a int, b int);
CREATE INDEX turned_a ON turned (a DESC);
CREATE INDEX turned_a_b ON turned (a, b);

-- finds nothing
CREATE TABLE orders (a int UNIQUE, b int, c int, t text);
CREATE INDEX ON orders (a, b);
CREATE INDEX ON orders (b, c);
CREATE INDEX ON orders (c);
CREATE INDEX ON orders (b) WHERE c > 0;
CREATE INDEX ON orders (b) INCLUDE (a);
CREATE INDEX ON orders (t text_pattern_ops);
CREATE INDEX ON orders (t, a);
CREATE INDEX ON orders (c DESC NULLS LAST, b);
