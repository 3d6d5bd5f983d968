"""The schema's revisions; run by :mod:`outreachdb.db.migrate`."""
