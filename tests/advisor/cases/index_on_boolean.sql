-- finds: t(live) t_live
CREATE TABLE t (live boolean);
CREATE INDEX t_live ON t (live);

-- finds nothing
CREATE TABLE t (live boolean, at date);
CREATE INDEX ON t (at) WHERE live;
CREATE INDEX ON t (live, at);
