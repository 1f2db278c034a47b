"""Who is let in when many come at once."""

import asyncio
import hashlib
import threading
from collections import Counter

import pytest
from starlette.requests import Request

from xpander_server.auth import authentication as access_module
from xpander_server.auth.api_keys import READ, ApiKeys
from xpander_server.auth.authentication import KeyAuthenticator
from xpander_server.auth.verifier import Verifier
from xpander_server.http.errors import HTTPError
from xpander_server.store import Store


@pytest.fixture
def store(tmp_path):
    made = Store(f"sqlite:///{tmp_path}/store.db")
    yield made
    made.close()


def request(key: str, address: str = "192.0.2.1") -> Request:
    return Request({"type": "http", "headers": [(b"x-api-key", key.encode())], "client": (address, 1)})


async def outcomes(authenticator: KeyAuthenticator, *requests: Request) -> list[object]:
    """What becomes of requests at the same time: the organisation, or the status."""

    async def ask(request: Request) -> object:
        try:
            return (await authenticator.authenticate(request, READ, {})).organization_id
        except HTTPError as refusal:
            return refusal.status

    return await asyncio.gather(*(ask(request) for request in requests))


def test_many_first_requests_with_one_key_cost_one_hash(store, monkeypatch):
    key = ApiKeys(store.keys).create("ci", "org")
    hashes = Counter()
    scrypt = hashlib.scrypt

    def counted(*arguments, **named):
        hashes["spent"] += 1
        return scrypt(*arguments, **named)

    monkeypatch.setattr("hashlib.scrypt", counted)
    found = asyncio.run(outcomes(KeyAuthenticator(Verifier(store.keys)), *[request(key)] * 64))
    assert (set(found), hashes["spent"]) == ({"org"}, 1)


def test_who_is_known_does_not_wait_for_those_who_are_not(store, monkeypatch):
    key = ApiKeys(store.keys).create("ci", "org")
    authenticator = KeyAuthenticator(Verifier(store.keys))
    go_on = threading.Event()

    async def scenario() -> object:
        assert await outcomes(authenticator, request(key)) == ["org"]
        monkeypatch.setattr("xpander_server.auth.api_keys.find_key", lambda *_: go_on.wait(60) and None)
        guesses = asyncio.gather(*(outcomes(authenticator, request(f"guess {number}")) for number in range(50)))
        await asyncio.sleep(0)
        known = await outcomes(authenticator, *[request(key)] * 10)
        go_on.set()
        return known, await guesses

    assert asyncio.run(scenario()) == (["org"] * 10, [[401]] * 50)


def test_only_so_many_may_wait_for_their_first_look(store, monkeypatch):
    monkeypatch.setattr(access_module, "MAX_PENDING_VERIFICATIONS", 5)
    authenticator = KeyAuthenticator(Verifier(store.keys))
    found = asyncio.run(outcomes(authenticator, *(request(f"guess {number}") for number in range(50))))
    assert Counter(found) == {401: 5, 503: 45}


@pytest.mark.parametrize(
    ("addresses", "are_one"),
    [
        (["192.0.2.1", "192.0.2.1"], True),
        (["192.0.2.1", "192.0.2.2"], False),
        (["2001:db8::1", "2001:db8::2"], True),
        (["2001:db8::1", "2001:db8:0:1::1"], False),
        (["::ffff:192.0.2.1", "::ffff:192.0.2.2"], False),
        (["fe80::1%eth0", "fe80::2%eth0"], True),
        (["a unix socket", "a unix socket"], True),
    ],
)
def test_wrong_keys_are_counted_by_address_and_by_network_of_ipv6(addresses, are_one):
    found = [access_module._rate_limit_address(request("k", address)) for address in addresses]
    assert (found[0] == found[1]) is are_one
