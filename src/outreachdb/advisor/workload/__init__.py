"""Queries: where they come from, what they ask for, which indexes would serve them, and what these really bring."""
