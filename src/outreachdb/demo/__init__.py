"""The whole path on generated leads, from import to analytics."""
