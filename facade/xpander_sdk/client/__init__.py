"""Client of the contract: operations, the request flow and the two drivers that run it."""
