"""Tracking of runs: `Backend.run`, `current_run`, and the readers of their results.

`run` is imported with the package; it imports nothing that the package does not import anyway. All other modules are
imported at the first run that is recorded.
"""
