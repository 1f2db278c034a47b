"""Adapters that record the runs of agent frameworks, one module for each framework.

A module imports its framework, and is imported by the program only. The adapters need no extra: they report through
`Backend.run`, so they reach every backend, with or without an outbox.
"""
