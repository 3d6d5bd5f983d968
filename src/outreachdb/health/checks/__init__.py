"""One file per check; :mod:`outreachdb.health.checkbook` reads them."""
