"""PgBouncer: a configuration with one pool for each workload, its process, and what its pools do.

``configure`` writes the configuration, ``start`` and ``stop`` run the real program on this machine, ``status`` asks its
console; health reads ``status`` too. All files lie in ``<home>/pooling``::

    pgbouncer.ini   the pools; a person may change it, `pool start` then reloads it
    userlist.txt    who may log in; secrets (0640 for the pooler's account where root wrote it, else 0600)
    pool.env        one URL for each workload, to be sourced; holds passwords (0600)
    pool.json       port and password of the console (0600)
    run/            pid file and log; the only folder that the pooler may write to
"""

from outreachdb.pooling.configuration import Written, configure, free_port, write
from outreachdb.pooling.folder import PoolFolder
from outreachdb.pooling.process import run_in_foreground, start, stop
from outreachdb.pooling.sizes import POOLS, Limits, Pool, Sizing, sized
from outreachdb.pooling.status import PoolStatus, PoolUse, status

__all__ = [
    "POOLS",
    "Limits",
    "Pool",
    "PoolFolder",
    "PoolStatus",
    "PoolUse",
    "Sizing",
    "Written",
    "configure",
    "free_port",
    "run_in_foreground",
    "sized",
    "start",
    "status",
    "stop",
    "write",
]
