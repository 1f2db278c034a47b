"""HTTP client of the API: operations, retries, and one transport per destination."""
