-- Whom each index of this room serves; the form is told in outreachdb/db/index_catalogue.py.

-- name: pk_backups
-- as: trusted
-- A backup that was verified says so.
SELECT b.verified_at FROM ops.backups AS b WHERE b.id = %(id)s;

-- name: ix_backups_finished_at
-- as: reader
-- The latest backups: how long ago the last one is.
SELECT b.finished_at, b.kind, b.tool, b.verified_at FROM ops.backups AS b ORDER BY b.finished_at DESC LIMIT %(limit)s;
