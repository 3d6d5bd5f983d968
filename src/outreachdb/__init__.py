"""OutreachDB: the PostgreSQL data engine for cold outreach.

Open an :class:`OutreachDB`, create or look up a workspace, and hand its tenant to the rooms' functions: :mod:`leads`,
:mod:`segments`, :mod:`campaigns`, :mod:`sending`, :mod:`events`, :mod:`analytics`.
"""

from outreachdb.app import OutreachDB
from outreachdb.config import Settings
from outreachdb.db.tenant import Tenant
from outreachdb.errors import OutreachDBError
from outreachdb.storage.partitions import PartitionManager, get_partition_manager
from outreachdb.version import __version__

__all__ = [
    "OutreachDB",
    "OutreachDBError",
    "PartitionManager",
    "Settings",
    "Tenant",
    "__version__",
    "get_partition_manager",
]
