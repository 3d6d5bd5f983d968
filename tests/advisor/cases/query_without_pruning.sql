-- finds: events(at)
CREATE TABLE events (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
SELECT * FROM yes_query_without_pruning.events WHERE id = 7;

-- finds nothing
CREATE TABLE events (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
SELECT * FROM no_query_without_pruning.events WHERE id = 7 AND at >= '2026-01-05';
DELETE FROM no_query_without_pruning.events AS e WHERE e.at = current_date - interval '1 day';
