"""Compared programs: one script for each, which runs in a separate environment."""
