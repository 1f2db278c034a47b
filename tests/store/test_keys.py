"""API keys: made, found, rotated, revoked; and what a running server remembers of them."""

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import false

from store.test_schema import SQL_OF_0001
from xpander_server.auth import api_keys as auth
from xpander_server.auth import verifier as verification
from xpander_server.auth.api_keys import SCOPES, ApiKeys
from xpander_server.auth.verifier import Verifier
from xpander_server.clock import SECOND
from xpander_server.store import KeyTable, Store, StoreUnavailable


class Clock:
    """Microseconds, as the test says."""

    def __init__(self) -> None:
        self.now = 1_000 * SECOND

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def keys(store, clock):
    return ApiKeys(store.keys, clock)


@pytest.fixture
def verifier(store, clock):
    return Verifier(store.keys, clock)


@pytest.fixture
def monotonic(monkeypatch):
    """The seconds by which the verifier tells what is fresh."""
    seconds = [0.0]
    monkeypatch.setattr(verification.time, "monotonic", lambda: seconds[0])
    return seconds


def opened(verifier: Verifier, key: str):
    """What a request with this key would be granted, as the server asks."""
    verification = verifier.cached(key.encode())
    if verification is None:
        verification = verifier.verify(key.encode())
    elif verification.grant is not None and not verification.is_fresh():
        verification = verifier.refresh(key.encode(), verification)
    return verification.grant


def test_a_key_is_found_again(keys, verifier):
    key = keys.create("ci", "org")
    keys.ensure(key, "org")
    assert len(keys.list_keys("org")) == 1
    assert opened(verifier, key).organization_id == "org"


def test_a_key_is_kept_as_a_salted_hash(tmp_path):
    store = Store(f"sqlite:///{tmp_path}/store.db")
    given = [ApiKeys(store.keys).create(name, "org") for name in ("one", "two")]
    ApiKeys(store.keys).ensure("hunter2", "org")
    rows = store.keys.list_keys()
    assert len({row.salt for row in rows}) == len({row.hash for row in rows}) == 3
    store.close()
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for key in (*given, "hunter2"):
        assert key.encode() not in kept


def test_a_key_has_the_scopes_that_it_was_given(keys, verifier):
    grant = opened(verifier, keys.create("ci", "org", scopes=["read", "report", "read"]))
    assert (grant.key_name, grant.scopes) == ("ci", {"report", "read"})
    assert keys.list_keys("org")[0].scopes == ["report", "read"]


def test_a_key_that_serve_is_given_may_do_everything(keys, verifier):
    keys.ensure("known", "org")
    assert opened(verifier, "known").scopes == set(SCOPES)


def test_a_known_key_that_serve_is_given_keeps_its_scopes(keys, verifier):
    key = keys.create("ci", "org", scopes=["report"])
    keys.ensure(key, "org")
    assert opened(verifier, key).scopes == {"report"}


@pytest.mark.parametrize("key", [b"", b"unknown", b"\xff\xfe", "ключ".encode(), b"x" * 10_000])
def test_an_unknown_key_opens_nothing(key, keys, verifier):
    keys.ensure("known", "org")
    assert verifier.verify(key).grant is None


def test_a_key_opens_one_organisation(keys):
    keys.ensure("known", "org")
    with pytest.raises(ValueError, match="got a key of 'org'"):
        keys.ensure("known", "other")


def test_keys_of_one_name_belong_to_several_organisations_but_not_twice_to_one(keys):
    keys.create("ci", "one")
    keys.create("ci", "two")
    with pytest.raises(ValueError, match="has a key 'ci' already"):
        keys.create("ci", "one")


@pytest.mark.parametrize(
    ("name", "organization_id", "scopes"),
    [("", "org", ["read"]), ("x" * 101, "org", ["read"]), ("a\nb", "org", ["read"]), ("a", "", ["read"]),
     ("a", "o" * 101, ["read"]), ("a", "org", ["write"])],
)  # fmt: skip
def test_a_key_that_cannot_be_is_not_made(name, organization_id, scopes, keys):
    with pytest.raises(ValueError, match=r"printable|must be among"):
        keys.create(name, organization_id, scopes=scopes)
    assert keys.list_keys() == []


def test_a_key_is_hashed_once(keys, verifier, monkeypatch):
    keys.ensure("known", "org")
    assert opened(verifier, "known")
    monkeypatch.setattr("hashlib.scrypt", lambda *_, **__: pytest.fail("hashed again"))
    assert opened(verifier, "known")


def test_an_expired_key_opens_nothing_from_that_microsecond_on(keys, verifier, clock):
    key = keys.create("ci", "org", expires_at=clock.now + SECOND)
    clock.now += SECOND - 1
    assert opened(verifier, key)
    clock.now += 1
    assert opened(verifier, key) is None
    with pytest.raises(ValueError, match="'ci' has expired"):
        keys.ensure(key, "org")


def test_a_revoked_key_opens_nothing_once_what_was_known_is_stale(keys, verifier, monotonic):
    key = keys.create("ci", "org")
    assert opened(verifier, key)
    keys.revoke("ci", "org")
    monotonic[0] += verification.CACHE_SECONDS
    assert opened(verifier, key) is None
    with pytest.raises(ValueError, match="'ci' was revoked"):
        keys.ensure(key, "org")


def test_the_name_of_a_revoked_key_is_free(keys, verifier):
    keys.create("ci", "org")
    keys.revoke("ci", "org")
    assert opened(verifier, keys.create("ci", "org"))


def test_only_a_live_key_is_revoked_or_rotated(keys):
    keys.create("ci", "org")
    for unknown in (("other", "org"), ("ci", "other")):
        with pytest.raises(LookupError, match="has no key"):
            keys.revoke(*unknown)
        with pytest.raises(LookupError, match="has no key"):
            keys.rotate(*unknown, grace=SECOND)
    keys.revoke("ci", "org")
    with pytest.raises(LookupError, match="has no key"):
        keys.revoke("ci", "org")


def test_while_a_key_is_rotated_both_secrets_are_good(keys, store, clock):
    old = keys.create("ci", "org", scopes=["report"], expires_at=clock.now + 100 * SECOND)
    clock.now += SECOND
    new = keys.rotate("ci", "org", grace=10 * SECOND)
    for key in (old, new):
        grant = opened(Verifier(store.keys, clock), key)
        assert (grant.key_name, grant.scopes) == ("ci", {"report"})
    clock.now += 10 * SECOND
    assert opened(Verifier(store.keys, clock), old) is None
    assert opened(Verifier(store.keys, clock), new)
    clock.now += 89 * SECOND
    assert opened(Verifier(store.keys, clock), new) is None  # as the old one would have


def test_a_running_server_notices_that_a_key_was_rotated_without_grace(keys, verifier, clock, monotonic):
    old = keys.create("ci", "org")
    assert opened(verifier, old)
    clock.now += 1
    new = keys.rotate("ci", "org", grace=0)
    monotonic[0] += verification.CACHE_SECONDS
    assert opened(verifier, old) is None
    assert opened(verifier, new)


def test_revoking_ends_the_old_secret_too(keys, store, clock):
    old = keys.create("ci", "org")
    clock.now += 1
    new = keys.rotate("ci", "org", grace=SECOND)
    keys.revoke("ci", "org")
    assert [opened(Verifier(store.keys, clock), key) for key in (old, new)] == [None, None]


def test_use_is_noted_once_an_hour(keys, verifier, clock, monotonic):
    key = keys.create("ci", "org")
    noted = []
    for _ in range(3):
        assert opened(verifier, key)
        noted.append(keys.list_keys("org")[0].last_used_at)
        monotonic[0] += verification.CACHE_SECONDS
        clock.now += 1_801 * SECOND
    assert noted == [1_000 * SECOND, 1_000 * SECOND, 4_602 * SECOND]


def test_a_key_is_good_while_its_use_cannot_be_noted(keys, verifier, monkeypatch):
    def unavailable(*_: object) -> None:
        raise StoreUnavailable("database is locked")

    key = keys.create("ci", "org")
    monkeypatch.setattr("xpander_server.store.keys.KeyTable.record_use", unavailable)
    assert opened(verifier, key)


def test_while_the_store_does_not_answer_a_stale_key_is_asked_for_again(keys, verifier, monotonic, monkeypatch):
    key = keys.create("ci", "org")
    assert opened(verifier, key)
    monotonic[0] += verification.CACHE_SECONDS

    def unavailable(*_: object) -> None:
        raise StoreUnavailable("database is locked")

    with monkeypatch.context() as patched:
        patched.setattr("xpander_server.store.keys.KeyTable.get", unavailable)
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                opened(verifier, key)
    assert opened(verifier, key)


def test_what_is_unknown_is_remembered_for_a_moment_without_a_look_into_the_store(
    keys, verifier, monotonic, monkeypatch
):
    assert opened(verifier, "late") is None
    with monkeypatch.context() as patched:
        patched.setattr("xpander_server.store.keys.KeyTable.find_by_tag", lambda *_: pytest.fail("looked again"))
        assert opened(verifier, "late") is None
    keys.ensure("late", "org")
    monotonic[0] += verification.CACHE_SECONDS
    assert opened(verifier, "late")


def test_who_guesses_fills_no_memory(verifier, monkeypatch):
    monkeypatch.setattr(verification, "MAX_UNKNOWN", 10)
    for number in range(50):
        assert opened(verifier, f"guess {number}") is None
    assert len(verifier._unknown) == 10


def test_a_guess_costs_no_scrypt(keys, verifier, monkeypatch):
    keys.ensure("known", "org")
    monkeypatch.setattr("hashlib.scrypt", lambda *_, **__: pytest.fail("hashed a guess"))
    # A key has one of 32,768 tags, these none of them.
    assert opened(verifier, "a guess") is None
    assert opened(verifier, "another guess") is None


def test_keys_that_serve_was_given_have_names_of_their_own(keys):
    for key in ("a", "b", "c", "b"):
        keys.ensure(key, "org")
    names = {row.name for row in keys.list_keys("org")}
    assert len(names) == 3
    assert {name.partition("-")[0] for name in names} == {"serve"}


def test_servers_that_add_a_key_at_once_add_one_that_ends_as_one(store, clock, monkeypatch):
    # As if both had looked before either added.
    with monkeypatch.context() as patched:
        patched.setattr(KeyTable, "find_by_tag", lambda *_: [])
        patched.setattr("xpander_server.store.keys._has_name", lambda *_: (false(),))
        for _ in range(2):
            ApiKeys(store.keys, clock).ensure("known", "org")
    names = [row.name for row in store.keys.list_keys("org")]
    assert len(names) == 2
    ApiKeys(store.keys, clock).revoke(names[0], "org")
    assert opened(Verifier(store.keys, clock), "known") is None


def test_a_name_that_another_key_has_is_left_to_it(keys, verifier, monkeypatch):
    monkeypatch.setattr("xpander_server.auth.api_keys._tag", lambda _: 7)
    keys.ensure("a", "org")
    keys.ensure("b", "org")
    assert [row.name for row in keys.list_keys("org")] == ["serve-0007", "serve-0007-2"]
    assert opened(verifier, "b").key_name == "serve-0007-2"


def test_keys_of_the_first_version_may_do_everything_and_have_names(tmp_path):
    salts = [bytes([number]) * 16 for number in range(2)]
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        connection.executescript(SQL_OF_0001)
        connection.execute("DELETE FROM api_keys")
        for number, salt in enumerate(salts):
            raw = f"key {number}".encode()
            row = ("org", salt, auth._tag(raw), auth._hash(raw, salt), 1)
            connection.execute("INSERT INTO api_keys VALUES (?, ?, ?, ?, ?)", row)
        connection.commit()
    store = Store(f"sqlite:///{tmp_path}/store.db")
    assert [row.name for row in store.keys.list_keys("org")] == ["key-00000000", "key-01010101"]
    assert opened(Verifier(store.keys), "key 1").scopes == set(SCOPES)
    store.close()
