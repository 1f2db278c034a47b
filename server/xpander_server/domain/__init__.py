"""Rules of tasks, metrics and prices. Pure: no I/O."""
