"""Rules that read runs from what other libraries produce; the SDK and the server share them.

The package imports neither the SDK nor the server nor any other library, and does no I/O.
"""
