"""Benchmarks of the client, the outbox, the server and the pages. Linux only."""
