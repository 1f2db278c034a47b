"""The tables. Every key begins with the organisation, so that the data can be spread by it.

Times are microseconds since 1970 (UTC). Documents are JSON text: it can hold what a plain text column of some databases
cannot (NUL), and keeps the order of keys.
"""

from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    TypeDecorator,
)

REVISION = "0004"
"""The Alembic revision that these tables are."""


def as_text(document: Any) -> str:
    """As JSON text."""
    return _encode(document).decode()


_encode = msgspec.json.Encoder().encode


class Json(TypeDecorator[Any]):
    """A value kept as JSON text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else as_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else msgspec.json.decode(value)


ORGANIZATION_ID = String(100)
ID = String(255)

metadata = MetaData()

tasks = Table(
    "tasks",
    metadata,
    Column("organization_id", ORGANIZATION_ID, primary_key=True),
    Column("id", ID, primary_key=True),
    Column("agent_id", ID, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("input", Json),
    Column("llm_response", Text),
    Column("tokens", Json),
    Column("is_success", Boolean),
    Column("result", Json),
    Column("duration", Float),
    Column("used_tools", Json),
    Column("user_id", ID),
    Column("parent_task_id", ID),
    Column("triggering_agent_id", ID),
    Column("reported_at", Json, nullable=False),
    Column("model", ID),
    Column("cost", BigInteger),
    Column("changes", Json),
    Index("tasks_of_organization", "organization_id", "created_at"),
    # Not the id as well: with three ids of 255 characters an index row could outgrow what PostgreSQL allows.
    Index("tasks_of_agent", "organization_id", "agent_id", "created_at"),
    Index("tasks_of_user", "organization_id", "user_id", "created_at"),
)

rollups = Table(
    "metric_rollups",
    metadata,
    Column("organization_id", ORGANIZATION_ID, primary_key=True),
    # "" for the organisation as a whole.
    Column("agent_id", ID, primary_key=True),
    # How many hours it sums up, and the first microsecond of them.
    Column("hours", SmallInteger, primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("amounts", Json, nullable=False),
)

metric_deltas = Table(
    "metric_movements",
    metadata,
    Column("organization_id", ORGANIZATION_ID, primary_key=True),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    # By agent, by the first microsecond of the hour.
    Column("amounts", Json, nullable=False),
)

retention = Table(
    "retention",
    metadata,
    Column("organization_id", ORGANIZATION_ID, primary_key=True),
    # Tasks first seen before this hour may have been deleted; their metrics stay.
    Column("forgotten_before", BigInteger, nullable=False),
)

keys = Table(
    "api_keys",
    metadata,
    Column("organization_id", ORGANIZATION_ID, primary_key=True),
    Column("salt", LargeBinary(16), primary_key=True),
    Column("tag", SmallInteger, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("name", String(100), nullable=False, server_default="key"),
    Column("scopes", Json, nullable=False, server_default='["report","read","admin"]'),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),
    Index("api_keys_by_tag", "tag"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("organization_id", ORGANIZATION_ID, primary_key=True),
    # Of the cookie: who reads the table, or a copy of it, can open nothing with it.
    Column("digest", LargeBinary(32), primary_key=True),
    Column("key_salt", LargeBinary(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)
