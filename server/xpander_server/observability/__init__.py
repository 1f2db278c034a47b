"""Log records and Prometheus metrics of the server process."""
