"""The parts of a migration run: the prepared session, the roles, the watch on blocked writers."""
