"""Stored metrics: deltas, rollups, queries and rebuild."""
