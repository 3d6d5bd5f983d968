-- finds: log(at)
CREATE TABLE log (at timestamptz, body text);
INSERT INTO log SELECT now() + n * interval '1 s', repeat('x', 900) FROM generate_series(1, 11000) AS n;
ANALYZE log;

-- finds nothing
CREATE TABLE log (at timestamptz, body text);
INSERT INTO log SELECT now() + (n * 7919 % 11000) * interval '1 s', repeat('x', 900) FROM generate_series(1, 11000) AS n;
ANALYZE log;
