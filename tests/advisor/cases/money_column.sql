-- finds: t(price)
CREATE TABLE t (price money);

-- finds nothing
CREATE TABLE t (price numeric);
