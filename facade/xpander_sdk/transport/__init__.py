"""Transports: over HTTP, in-process, or through an httpx transport of the caller.

A transport sends one request and returns the response. Only this package imports httpx and httpcore, and only for a
destination that is reached over HTTP: their import takes longer than a report to an embedded store.
"""
