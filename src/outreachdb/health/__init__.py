"""Snapshots and checks of the server's state."""
