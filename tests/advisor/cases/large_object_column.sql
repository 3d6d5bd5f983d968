-- finds: t(photo)
CREATE TABLE t (photo oid);

-- finds nothing
CREATE TABLE t (photo bytea);
