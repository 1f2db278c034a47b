"""Headers of every response: security headers, defaults and the request id."""

from collections.abc import Mapping

Headers = list[tuple[bytes, bytes]]

_SECURITY_HEADERS = [(b"x-content-type-options", b"nosniff")]
_DEFAULT_HEADERS = {
    # Web pages set their own policy. Everything else must not be rendered as a page, and must not be cached.
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"cache-control": b"no-store",
    b"referrer-policy": b"no-referrer",
}
_HTTPS_HEADER = (b"strict-transport-security", b"max-age=31536000")


def complete_headers(response_headers: Headers, scheme: str, request_id: str, extra: Mapping[str, str]) -> Headers:
    """Return the headers of a response with those that every response carries.

    Args:
        response_headers: Headers that the endpoint set; they replace defaults of the same name.
        scheme: `https` adds Strict-Transport-Security.
        request_id: Value of `x-request-id`.
        extra: Further headers, such as those of the rate limit.
    """
    defaults = dict(_DEFAULT_HEADERS)
    for name, _ in response_headers:
        defaults.pop(name, None)
    headers = [*response_headers, *_SECURITY_HEADERS, *defaults.items(), (b"x-request-id", request_id.encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in extra.items()]
    if scheme == "https":
        headers.append(_HTTPS_HEADER)
    return headers
