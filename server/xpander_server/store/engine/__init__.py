"""Database engines: SQLite and PostgreSQL, their transactions, locks and errors."""
