"""API keys, authentication, authorization and rate limits."""
