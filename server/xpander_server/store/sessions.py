"""Who is signed in: one row a session, by the digest of what the browser keeps."""

from attrs import asdict, frozen
from sqlalchemy import ColumnElement, Connection, delete, insert, select

from xpander_server.store.engine.database import Database
from xpander_server.store.keys import KeyRow
from xpander_server.store.schema.tables import keys, sessions


@frozen
class SessionRow:
    organization_id: str
    digest: bytes
    key_salt: bytes
    """Of the key that it was begun with."""
    created_at: int
    expires_at: int


class SessionTable:
    """The sessions of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: SessionRow, *, max_sessions: int) -> None:
        """Add a session. Those that have expired go, and the oldest beyond `max_sessions` of the same key."""
        of_organization = sessions.c.organization_id == row.organization_id
        of_key = (
            select(sessions.c.digest)
            .where(of_organization, sessions.c.key_salt == row.key_salt)
            .order_by(sessions.c.created_at.desc(), sessions.c.digest)
        )

        def exchange(connection: Connection) -> None:
            connection.execute(delete(sessions).where(of_organization, sessions.c.expires_at <= row.created_at))
            connection.execute(insert(sessions).values(asdict(row)))
            oldest = connection.scalars(of_key.offset(max_sessions)).all()
            if oldest:
                connection.execute(delete(sessions).where(of_organization, sessions.c.digest.in_(oldest)))

        self._database.write(exchange)

    def find_key(self, organization_id: str, digest: bytes, now: int) -> KeyRow | None:
        """The key of a session that has not expired, if that key is still good."""
        query = select(keys).join_from(
            sessions,
            keys,
            (keys.c.organization_id == sessions.c.organization_id) & (keys.c.salt == sessions.c.key_salt),
        )
        query = query.where(*_is(organization_id, digest), sessions.c.expires_at > now)
        row = self._database.read(lambda connection: connection.execute(query).mappings().one_or_none())
        key = None if row is None else KeyRow(**row)
        return key if key is not None and key.is_active(now) else None

    def delete(self, organization_id: str, digest: bytes) -> None:
        gone = delete(sessions).where(*_is(organization_id, digest))
        self._database.write(lambda connection: connection.execute(gone))


def _is(organization_id: str, digest: bytes) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return sessions.c.organization_id == organization_id, sessions.c.digest == digest
