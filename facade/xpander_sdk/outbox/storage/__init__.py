"""Storage of the outbox: one SQLite file that several processes share."""
