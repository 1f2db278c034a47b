"""Database schema: tables and migrations."""
