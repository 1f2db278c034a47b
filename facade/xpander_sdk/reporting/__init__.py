"""Reports: validation of a caller's arguments and their encoding as the contract's request."""
