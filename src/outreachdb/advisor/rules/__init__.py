"""One file per rule; :mod:`outreachdb.advisor.rulebook` reads them."""
