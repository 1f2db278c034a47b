"""API keys: the rows of the table and its queries. Package `auth` creates and verifies keys."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from attrs import asdict, evolve, frozen
from sqlalchemy import ColumnElement, Connection, insert, or_, select, update

from xpander_server.store.schema.tables import keys

T = TypeVar("T")


class Transaction(Protocol):
    """Function that runs `call` in a transaction, more than once if the transaction has to be repeated."""

    def __call__(self, call: Callable[[Connection], T], /) -> T:
        """Return the result of `call`."""
        ...


@frozen
class KeyRow:
    """One secret of a key. A key has two of them while it is rotated. Times are microseconds since 1970."""

    organization_id: str
    name: str
    scopes: list[str]
    salt: bytes
    tag: int
    """15-bit hash of the secret, by which candidates are found before the slow hash is computed."""
    hash: bytes
    """scrypt hash of the secret with `salt`."""
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None

    def is_active(self, now: int) -> bool:
        """Return whether the secret is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class NameTaken(ValueError):
    """The name of a new key belongs to an active key of the organization."""


class KeyTable:
    """API keys of a store."""

    def __init__(self, read: Transaction, write: Transaction) -> None:
        self._read = read
        self._write = write

    def list_keys(self, organization_id: str | None = None) -> list[KeyRow]:
        """Return the keys of an organization, or of all organizations, including expired and revoked ones."""
        conditions = [] if organization_id is None else [keys.c.organization_id == organization_id]
        return self._read(lambda connection: _read_rows(connection, *conditions))

    def find_by_tag(self, tag: int) -> list[KeyRow]:
        """Return the keys of all organizations that have this tag."""
        return self._read(lambda connection: _read_rows(connection, keys.c.tag == tag))

    def get(self, organization_id: str, salt: bytes) -> KeyRow | None:
        """Return the key with this salt, or None."""
        return self._read(
            lambda connection: next(iter(_read_rows(connection, *_has_salt(organization_id, salt))), None)
        )

    def has_active_key(self, now: int) -> bool:
        """Return whether any organization has an active key."""
        query = select(keys.c.name).where(*_is_active(now)).limit(1)
        return self._read(lambda connection: connection.execute(query).first() is not None)

    def add(self, row: KeyRow) -> None:
        """Insert a new key.

        Raises:
            NameTaken: An active key of the organization has the same name.
        """

        def add(connection: Connection) -> None:
            if _read_rows(connection, *_has_name(row.organization_id, row.name), *_is_active(row.created_at)):
                raise NameTaken(
                    f"the organization {row.organization_id!r} has a key {row.name!r} already; choose another name, "
                    "or replace its secret with `keys rotate`"
                )
            connection.execute(insert(keys).values(asdict(row)))

        self._write(add)

    def rotate(self, new: KeyRow, old_until: int) -> None:
        """Add a secret to the active key that has the same name.

        Args:
            new: The new secret; it gets the scopes and the expiry of the old one.
            old_until: The time at which the old secret expires, unless it expires before that.

        Raises:
            LookupError: The organization has no active key with this name.
        """
        has_name = _has_name(new.organization_id, new.name)
        expires_later = or_(keys.c.expires_at.is_(None), keys.c.expires_at > old_until)
        shorten = update(keys).where(*has_name, keys.c.revoked_at.is_(None), expires_later).values(expires_at=old_until)

        def rotate(connection: Connection) -> None:
            old = _read_rows(connection, *has_name, *_is_active(new.created_at))
            if not old:
                raise _unknown_key(new.organization_id, new.name)
            connection.execute(shorten)
            secret = evolve(new, scopes=old[-1].scopes, expires_at=old[-1].expires_at)
            connection.execute(insert(keys).values(asdict(secret)))

        self._write(rotate)

    def revoke(self, organization_id: str, name: str, now: int) -> None:
        """Revoke all secrets of a key.

        Raises:
            LookupError: The organization has no active key with this name.
        """
        statement = update(keys).where(*_has_name(organization_id, name), *_is_active(now)).values(revoked_at=now)
        if not self._write(lambda connection: connection.execute(statement).rowcount):
            raise _unknown_key(organization_id, name)

    def record_use(self, organization_id: str, salt: bytes, now: int) -> None:
        """Set the time at which a key was last used."""
        statement = update(keys).where(*_has_salt(organization_id, salt)).values(last_used_at=now)
        self._write(lambda connection: connection.execute(statement))


_Conditions = tuple[ColumnElement[bool], ...]


def _read_rows(connection: Connection, *conditions: ColumnElement[bool]) -> list[KeyRow]:
    """Return keys by organization, name and age; the newest secret of a key is the last one."""
    query = select(keys).where(*conditions).order_by(keys.c.organization_id, keys.c.name, keys.c.created_at)
    return [KeyRow(**row) for row in connection.execute(query).mappings()]


def _has_salt(organization_id: str, salt: bytes) -> _Conditions:
    return keys.c.organization_id == organization_id, keys.c.salt == salt


def _has_name(organization_id: str, name: str) -> _Conditions:
    return keys.c.organization_id == organization_id, keys.c.name == name


def _is_active(now: int) -> _Conditions:
    return keys.c.revoked_at.is_(None), or_(keys.c.expires_at.is_(None), keys.c.expires_at > now)


def _unknown_key(organization_id: str, name: str) -> LookupError:
    return LookupError(f"the organization {organization_id!r} has no key {name!r}")
