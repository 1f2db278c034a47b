"""How a request travels: over HTTP, in-process, or through a transport of the caller's. The only package that touches
httpx and httpcore.
"""
