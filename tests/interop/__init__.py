"""Our client and our server beside the official SDK, which lives in an environment of its own (`make interop`)."""
