"""Partitions, archive and retention."""
