"""Stores of both kinds, SQLite and PostgreSQL: what they promise beyond the contract."""
