-- finds: t(at)
-- finds: t(stated)
-- finds: t(daily)
-- finds: parted(at)
CREATE DOMAIN moment AS timestamp;
CREATE TABLE t (at timestamp, stated moment, daily time with time zone, good timestamptz);
CREATE TABLE parted (at timestamp) PARTITION BY RANGE (at);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');

-- finds nothing
CREATE TABLE t (at timestamptz, day date, daily time);
