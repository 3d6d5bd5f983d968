"""Leads and companies: importing, searching, suppressing."""
