"""Check of a backend: which promises of the contract it keeps.

`promises` declares the promises, `backend_session` sends the requests, `runner` runs the promises one after the other.
"""
