"""Workspaces, API keys, the audit log."""
