-- Whom the indexes of the migrations' own book-keeping serve; the form is told in index_catalogue.py.

-- name: alembic_version_pkc
-- as: owner
-- A migration step moves the revision on.
SELECT v.version_num FROM ops.alembic_version AS v WHERE v.version_num = %(revision)s;

-- name: pk_routine_files
-- as: owner
-- Which version of a room's routine file is installed.
SELECT f.sha256 FROM ops.routine_files AS f WHERE f.room = %(room)s;

-- name: pk_routine_objects
-- as: owner
-- Which room's file made a routine.
SELECT o.room FROM ops.routine_objects AS o WHERE o.kind = %(kind)s AND o.identity = %(identity)s;
