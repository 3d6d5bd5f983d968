"""Segments: a definition in JSON, compiled to SQL in the database."""
