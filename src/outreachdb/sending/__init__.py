"""The ledger of sends: claiming them and delivering them by SMTP."""
