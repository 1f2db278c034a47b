"""Backup, restore and retention of a store."""
