"""Rollups and the reports that read them."""
