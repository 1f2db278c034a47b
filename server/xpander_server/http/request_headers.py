"""Headers of a request, read without Starlette's `Headers`, whose look-ups encode the name each time."""

from starlette.requests import Request


def header_values(request: Request, name: bytes) -> list[bytes]:
    """Return the values of all headers with a name.

    Args:
        request: The request.
        name: Name of the header in lower case.
    """
    return [value for other, value in request.scope["headers"] if other == name]


def header_text(request: Request, name: bytes) -> str:
    """Return the value of the first header with a name; empty if there is none.

    Args:
        request: The request.
        name: Name of the header in lower case.
    """
    for other, value in request.scope["headers"]:
        if other == name:
            text: str = value.decode("latin-1")
            return text
    return ""
