"""``python -m outreachdb``."""

from outreachdb.cli.main import main

main()
