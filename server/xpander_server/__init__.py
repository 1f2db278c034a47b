"""Server for agent run reports: task history, metrics and web pages on SQLite or PostgreSQL."""
