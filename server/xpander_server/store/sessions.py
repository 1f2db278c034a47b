"""Sessions of the web pages: one row for each, found by the digest of the browser's cookie."""

from attrs import asdict, frozen
from sqlalchemy import ColumnElement, Connection, delete, insert, select

from xpander_server.store.engine.database import Database
from xpander_server.store.keys import KeyRow
from xpander_server.store.schema.tables import keys, sessions


@frozen
class SessionRow:
    """One session. Times are microseconds since 1970."""

    organization_id: str
    digest: bytes
    """SHA-256 digest of the cookie."""
    key_salt: bytes
    """The salt of the API key that the visitor logged in with."""
    created_at: int
    expires_at: int


class SessionTable:
    """Sessions of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: SessionRow, *, max_sessions: int) -> None:
        """Add a session, and delete expired ones of the organization.

        Args:
            row: The session.
            max_sessions: The largest number of sessions of one key; the oldest ones beyond it are deleted.
        """
        is_organization = sessions.c.organization_id == row.organization_id
        newest_first = (
            select(sessions.c.digest)
            .where(is_organization, sessions.c.key_salt == row.key_salt)
            .order_by(sessions.c.created_at.desc(), sessions.c.digest)
        )

        def add(connection: Connection) -> None:
            connection.execute(delete(sessions).where(is_organization, sessions.c.expires_at <= row.created_at))
            connection.execute(insert(sessions).values(asdict(row)))
            excess = connection.scalars(newest_first.offset(max_sessions)).all()
            if excess:
                connection.execute(delete(sessions).where(is_organization, sessions.c.digest.in_(excess)))

        self._database.write(add)

    def find_key(self, organization_id: str, digest: bytes, now: int) -> KeyRow | None:
        """Return the API key of a session; None if the session or the key is not active."""
        query = select(keys).join_from(
            sessions,
            keys,
            (keys.c.organization_id == sessions.c.organization_id) & (keys.c.salt == sessions.c.key_salt),
        )
        query = query.where(*_is_session(organization_id, digest), sessions.c.expires_at > now)
        row = self._database.read(lambda connection: connection.execute(query).mappings().one_or_none())
        key = None if row is None else KeyRow(**row)
        return key if key is not None and key.is_active(now) else None

    def delete(self, organization_id: str, digest: bytes) -> None:
        """Delete a session, if it exists."""
        statement = delete(sessions).where(*_is_session(organization_id, digest))
        self._database.write(lambda connection: connection.execute(statement))


def _is_session(organization_id: str, digest: bytes) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return sessions.c.organization_id == organization_id, sessions.c.digest == digest
