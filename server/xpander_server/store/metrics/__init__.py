"""Stored metrics: deltas, rollups, queries and rebuild; `rollups` explains how they work together."""
