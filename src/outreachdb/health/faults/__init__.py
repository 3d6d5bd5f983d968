"""Faults that a check counts and the advisor tells one by one, as rules of its own; one file each, in its form."""
