"""HTTP layer: the ASGI entry point, uvicorn's protocol with limits and a fast path, and bind rules."""
