"""Comparison with the official SDK, which is installed in a separate environment (`make interop`)."""
