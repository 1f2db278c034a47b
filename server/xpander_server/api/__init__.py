"""HTTP API of the contract: routes, request bodies, responses and serializers."""
