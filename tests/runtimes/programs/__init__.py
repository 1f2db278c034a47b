"""Programs that the tests run in other processes."""
