"""OutreachDB: the PostgreSQL data engine for cold outreach."""
