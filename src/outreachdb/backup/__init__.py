"""Backups around PostgreSQL's own programs, each with a manifest, verified by restoring it somewhere else.

A backup is a folder of its own, which has its final name only when it is whole::

    outreachdb-20260131T020000Z/
      manifest.json   what is in it: rows and a hash of each table, roles, versions, SHA-256 of each file
      dump/           logical: pg_dump's directory format, to be restored into any database of this version or later
      data/           physical: pg_basebackup's copy of the whole cluster, for the same version and platform

The secret key is never inside: mailbox passwords and credentials in a restored database can be read only with it.
"""

from outreachdb.backup.dumping import BackedUp, back_up
from outreachdb.backup.manifest import Manifest
from outreachdb.backup.physical import back_up_cluster, restore_cluster, verify_cluster
from outreachdb.backup.restoring import Restored, Verified, restore, verify

__all__ = [
    "BackedUp",
    "Manifest",
    "Restored",
    "Verified",
    "back_up",
    "back_up_cluster",
    "restore",
    "restore_cluster",
    "verify",
    "verify_cluster",
]
