"""HTTP API of the contract: routes, operations, request bodies, responses and serializers."""
