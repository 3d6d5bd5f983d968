"""Measurements that anyone can repeat with `outreachdb bench`."""
