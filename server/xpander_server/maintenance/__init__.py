"""Maintenance of a store: backup, restore and retention."""
