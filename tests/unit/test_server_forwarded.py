"""Client address behind trusted proxies."""

from typing import Any

import pytest

from xpander_server.http.forwarded import TrustedProxies


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "client"),
    [
        (["192.0.2.1"], "192.0.2.1", ["203.0.113.7"], "203.0.113.7"),
        (["192.0.2.1"], "192.0.2.9", ["203.0.113.7"], "192.0.2.9"),
        (["192.0.2.1"], "192.0.2.1", [], "192.0.2.1"),
        (["192.0.2.0/24"], "192.0.2.1", ["10.9.9.9, 203.0.113.7, 192.0.2.10"], "203.0.113.7"),
        (["192.0.2.0/24"], "192.0.2.1", ["10.9.9.9", "203.0.113.7", "192.0.2.10"], "203.0.113.7"),
        (["192.0.2.0/24"], "192.0.2.1", ["192.0.2.3, 192.0.2.10"], "192.0.2.3"),
        (["192.0.2.1"], "192.0.2.1", ["203.0.113.7:4711"], "203.0.113.7"),
        (["192.0.2.1"], "192.0.2.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        (["192.0.2.1"], "192.0.2.1", ["[2001:db8::1]"], "2001:db8::1"),
        (["192.0.2.1"], "192.0.2.1", ["2001:db8::1"], "2001:db8::1"),
        (["192.0.2.1"], "192.0.2.1", ["fe80::1%eth0"], "fe80::1"),
        (["192.0.2.1"], "192.0.2.1", ["::ffff:203.0.113.7"], "203.0.113.7"),
        (["192.0.2.1"], "::ffff:192.0.2.1", ["203.0.113.7"], "203.0.113.7"),
        (["2001:db8::/32"], "2001:db8::5", ["203.0.113.7"], "203.0.113.7"),
        (["192.0.2.1"], "192.0.2.1", ["203.0.113.7, unknown"], "192.0.2.1"),
        (["192.0.2.0/24"], "192.0.2.1", ["203.0.113.7, _hidden, 192.0.2.10"], "192.0.2.10"),
        (["192.0.2.1"], "192.0.2.1", ["\x9b31mevil key=root"], "192.0.2.1"),
        (["192.0.2.1"], "192.0.2.1", ["", " , "], "192.0.2.1"),
        (["*"], "198.51.100.1", ["10.9.9.9, 203.0.113.7"], "203.0.113.7"),
        (["*", "203.0.113.0/24"], "198.51.100.1", ["10.9.9.9, 203.0.113.7"], "10.9.9.9"),
    ],
)
def test_client_is_last_address_that_is_no_trusted_proxy(
    trusted: list[str], peer: str, forwarded: list[str], client: str
):
    scope: dict[str, Any] = {
        "client": (peer, 4711),
        "scheme": "http",
        "headers": [(b"x-forwarded-for", value.encode("latin-1")) for value in forwarded],
    }
    TrustedProxies(trusted).apply(scope)
    assert scope["client"][0] == client


@pytest.mark.parametrize(
    ("peer", "value", "scheme"),
    [
        ("192.0.2.1", b"https", "https"),
        ("192.0.2.1", b"http, https", "https"),
        ("192.0.2.1", b"HTTPS", "https"),
        ("192.0.2.1", b"javascript", "http"),
        ("192.0.2.9", b"https", "http"),
    ],
)
def test_scheme_is_that_of_trusted_proxy(peer: str, value: bytes, scheme: str):
    scope: dict[str, Any] = {"client": (peer, 1), "scheme": "http", "headers": [(b"x-forwarded-proto", value)]}
    TrustedProxies(["192.0.2.1"]).apply(scope)
    assert scope["scheme"] == scheme


def test_connection_without_address_is_unchanged():
    scope: dict[str, Any] = {"client": None, "scheme": "http", "headers": [(b"x-forwarded-for", b"203.0.113.7")]}
    TrustedProxies(["*"]).apply(scope)
    assert scope["client"] is None
