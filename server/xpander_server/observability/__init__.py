"""Logs and Prometheus metrics of the server."""
