"""The command line: one file per room, each command one call of a core function."""
