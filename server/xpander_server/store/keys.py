"""API keys in the store: rows and the queries on them. What a key is, `auth` knows."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from attrs import asdict, evolve, frozen
from sqlalchemy import ColumnElement, Connection, insert, or_, select, update

from xpander_server.store.schema.tables import keys

T = TypeVar("T")


class Transaction(Protocol):
    """Runs what it is given in a transaction; it may have to run it again."""

    def __call__(self, call: Callable[[Connection], T], /) -> T: ...


@frozen
class KeyRow:
    """One secret of a key, as the store keeps it. While a key is being rotated it has two. Times are microseconds."""

    organization_id: str
    name: str
    scopes: list[str]
    salt: bytes
    tag: int
    hash: bytes
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None

    def is_active(self, now: int) -> bool:
        """Whether it still opens anything."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class NameTaken(ValueError):
    """A live key of the organisation has the name."""


class KeyTable:
    """The keys of a store."""

    def __init__(self, read: Transaction, write: Transaction) -> None:
        self._read = read
        self._write = write

    def list_keys(self, organization_id: str | None = None) -> list[KeyRow]:
        """Those of an organisation, or of all; dead ones, too."""
        wanted = [] if organization_id is None else [keys.c.organization_id == organization_id]
        return self._read(lambda connection: _rows(connection, *wanted))

    def find_by_tag(self, tag: int) -> list[KeyRow]:
        return self._read(lambda connection: _rows(connection, keys.c.tag == tag))

    def get(self, organization_id: str, salt: bytes) -> KeyRow | None:
        return self._read(lambda connection: next(iter(_rows(connection, *_is(organization_id, salt))), None))

    def has_active_key(self, now: int) -> bool:
        query = select(keys.c.name).where(*_is_active(now)).limit(1)
        return self._read(lambda connection: connection.execute(query).first() is not None)

    def add(self, row: KeyRow) -> None:
        """Keep a new key.

        Raises:
            NameTaken: a live key of the organisation has the name.
        """

        def add(connection: Connection) -> None:
            if _rows(connection, *_named(row.organization_id, row.name), *_is_active(row.created_at)):
                raise NameTaken(f"the organisation {row.organization_id!r} has a key {row.name!r} already")
            connection.execute(insert(keys).values(asdict(row)))

        self._write(add)

    def rotate(self, new: KeyRow, old_until: int) -> None:
        """Keep `new` as the secret of the live key of its name, with that one's scopes and expiry. The old secret is
        good until `old_until`.

        Raises:
            LookupError: there is no such live key.
        """
        of_name = _named(new.organization_id, new.name)
        would_be_longer = or_(keys.c.expires_at.is_(None), keys.c.expires_at > old_until)
        shorten = (
            update(keys).where(*of_name, keys.c.revoked_at.is_(None), would_be_longer).values(expires_at=old_until)
        )

        def succeed(connection: Connection) -> None:
            old = _rows(connection, *of_name, *_is_active(new.created_at))
            if not old:
                raise _unknown(new.organization_id, new.name)
            connection.execute(shorten)
            added = evolve(new, scopes=old[-1].scopes, expires_at=old[-1].expires_at)
            connection.execute(insert(keys).values(asdict(added)))

        self._write(succeed)

    def revoke(self, organization_id: str, name: str, now: int) -> None:
        """End every secret of a key.

        Raises:
            LookupError: there is no such live key.
        """
        end = update(keys).where(*_named(organization_id, name), *_is_active(now)).values(revoked_at=now)
        if not self._write(lambda connection: connection.execute(end).rowcount):
            raise _unknown(organization_id, name)

    def record_use(self, organization_id: str, salt: bytes, now: int) -> None:
        note = update(keys).where(*_is(organization_id, salt)).values(last_used_at=now)
        self._write(lambda connection: connection.execute(note))


_Conditions = tuple[ColumnElement[bool], ...]


def _rows(connection: Connection, *conditions: ColumnElement[bool]) -> list[KeyRow]:
    """In order: the newest secret of a key is its last."""
    query = select(keys).where(*conditions).order_by(keys.c.organization_id, keys.c.name, keys.c.created_at)
    return [KeyRow(**row) for row in connection.execute(query).mappings()]


def _is(organization_id: str, salt: bytes) -> _Conditions:
    return keys.c.organization_id == organization_id, keys.c.salt == salt


def _named(organization_id: str, name: str) -> _Conditions:
    return keys.c.organization_id == organization_id, keys.c.name == name


def _is_active(now: int) -> _Conditions:
    return keys.c.revoked_at.is_(None), or_(keys.c.expires_at.is_(None), keys.c.expires_at > now)


def _unknown(organization_id: str, name: str) -> LookupError:
    return LookupError(f"the organisation {organization_id!r} has no key {name!r}")
