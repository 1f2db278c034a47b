"""Settings: destination, credentials, timeouts, retries, transport and outbox."""
