"""Tables of the store.

Every primary key begins with the organization, so that the data can be distributed by it. Times are microseconds since
1970 (UTC). Documents are stored as JSON text: JSON escapes the character NUL, which PostgreSQL's text columns reject,
and JSON text keeps the order of the keys, which PostgreSQL's JSON columns do not.
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
    text,
)

from xpander_server.json_text import as_text

REVISION = "0013"
"""The Alembic revision that creates these tables."""

AmountsByAgent = dict[str, dict[int, dict[str, int]]]
"""Amounts by agent, by the first microsecond of the hour, by key: the content of `metric_deltas.amounts`."""


class Json(TypeDecorator[Any]):
    """Type of a column with JSON text.

    Args:
        document_type: The type to decode the documents into.
    """

    impl = Text
    cache_ok = True

    def __init__(self, document_type: Any = Any) -> None:
        super().__init__()
        self.document_type = document_type
        self._decode = msgspec.json.Decoder(document_type).decode

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Encode a value for the database."""
        return None if value is None else as_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Decode a value from the database."""
        return None if value is None else self._decode(value)


def _partial_index(name: str, *columns: str, condition: str, sqlite_condition: str | None = None) -> Index:
    """Return an index of the tasks that meet a condition, by some columns of an organization.

    A query must contain the condition as SQLAlchemy writes it for the database.
    """
    # Not as `postgresql_where`, for which SQLAlchemy imports the dialect of PostgreSQL: a tenth of the start of a
    # program with an embedded SQLite file. Only the SQL for review needs the condition; the migrations have their own.
    info = {"postgresql_where": condition}
    return Index(name, "organization_id", *columns, sqlite_where=text(sqlite_condition or condition), info=info)


ORGANIZATION_ID = String(100)
ID = String(255)
TRACE_ID = String(64)

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
    Column("error", Json),
    Column("calls", Json),
    Column("call_costs", Json),
    Column("conversation_id", ID),
    Column("metadata", Json),
    Column("reason", Json),
    Index("tasks_of_organization", "organization_id", "created_at"),
    # Without the id: three ids of 255 characters could exceed the size of an index row in PostgreSQL.
    Index("tasks_of_agent", "organization_id", "agent_id", "created_at"),
    Index("tasks_of_user", "organization_id", "user_id", "created_at"),
    # Partial: most tasks have neither, and an index entry costs as much time as a column of the row.
    _partial_index("tasks_of_conversation", "conversation_id", "created_at", condition="conversation_id IS NOT NULL"),
    _partial_index("tasks_of_parent", "parent_task_id", "created_at", condition="parent_task_id IS NOT NULL"),
    # Few tasks have failed or are executing: without these indexes, a search for them would test most tasks.
    _partial_index("tasks_failed", "created_at", condition="is_success IS false", sqlite_condition="is_success IS 0"),
    _partial_index(
        "tasks_failed_of_agent",
        "agent_id",
        "created_at",
        condition="is_success IS false",
        sqlite_condition="is_success IS 0",
    ),
    _partial_index("tasks_executing", "created_at", condition="is_success IS NULL"),
)

metadata_pairs = Table(
    "metadata_pairs",
    metadata,
    Column("organization_id", ORGANIZATION_ID, primary_key=True),
    # The digest of a pair: the pair itself could exceed the size of an index row in PostgreSQL.
    Column("digest", LargeBinary(16), primary_key=True),
    # The task's time of creation, in the order of the history.
    Column("created_at", BigInteger, primary_key=True, autoincrement=False),
    Column("task_id", ID, primary_key=True),
    # The primary key is the whole row: SQLite then stores it once.
    sqlite_with_rowid=False,
)

rollups = Table(
    "metric_rollups",
    metadata,
    Column("organization_id", ORGANIZATION_ID, primary_key=True),
    # Empty in the rollups of the whole organization.
    Column("agent_id", ID, primary_key=True),
    # The length of the time bucket, 0 for a registry of names; and its first microsecond.
    Column("hours", SmallInteger, primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("amounts", Json, nullable=False),
)

metric_deltas = Table(
    "metric_deltas",
    metadata,
    Column("organization_id", ORGANIZATION_ID, primary_key=True),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("amounts", Json(AmountsByAgent), nullable=False),
)

retention = Table(
    "retention",
    metadata,
    Column("organization_id", ORGANIZATION_ID, primary_key=True),
    # The start of an hour. Tasks created before it may have been deleted; their metrics stay.
    Column("deleted_before", BigInteger, nullable=False),
)

own_prices = Table(
    "own_prices",
    metadata,
    Column("organization_id", ORGANIZATION_ID, primary_key=True),
    # Empty for the price of a model at any provider.
    Column("provider", String(100), primary_key=True),
    # A name that ends with "*" stands for all names that begin so.
    Column("model", ID, primary_key=True),
    # Nano-dollars for a million tokens.
    Column("prompt", BigInteger, nullable=False),
    Column("completion", BigInteger, nullable=False),
    Column("cache_read", BigInteger),
    Column("cache_write", BigInteger),
)

erased_tasks = Table(
    "erased_tasks",
    metadata,
    Column("organization_id", ORGANIZATION_ID, primary_key=True),
    Column("id", ID, primary_key=True),
    # What metrics are computed from; the columns are those of `tasks`.
    Column("agent_id", ID, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("is_success", Boolean),
    Column("duration", Float),
    Column("tokens", Json),
    Column("used_tools", Json),
    Column("model", ID),
    Column("cost", BigInteger),
    Column("calls", Json),
    Column("call_costs", Json),
    Column("erased_at", BigInteger, nullable=False),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("organization_id", ORGANIZATION_ID, primary_key=True),
    Column("at", BigInteger, primary_key=True, autoincrement=False),
    Column("id", LargeBinary(16), primary_key=True),
    Column("action", String(100), nullable=False),
    # The name of an API key, or of the user of a command line.
    Column("actor", String(255), nullable=False),
    Column("details", Json, nullable=False),
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
    # The digest of the cookie: a reader of the table, or of a backup, cannot log in with it.
    Column("digest", LargeBinary(32), primary_key=True),
    Column("key_salt", LargeBinary(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

traces = Table(
    "traces",
    metadata,
    Column("organization_id", ORGANIZATION_ID, primary_key=True),
    Column("trace_id", TRACE_ID, primary_key=True),
    # The arrival of the first and of the latest span.
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    # The time at which the trace is computed again without a new span: its runs may not be held back any longer, no
    # further spans are expected, or the spans are deleted.
    Column("due_at", BigInteger, nullable=False),
    # The agent that a request has named for runs without one.
    Column("agent_id", ID),
    # The agent of each task that the trace's runs are recorded in.
    Column("tasks", Json, nullable=False),
    Index("traces_by_due_at", "due_at"),
)

spans = Table(
    "spans",
    metadata,
    Column("organization_id", ORGANIZATION_ID, primary_key=True),
    Column("trace_id", TRACE_ID, primary_key=True),
    Column("span_id", TRACE_ID, primary_key=True),
    # What the rule of runs needs, as `xpander_capture.spans.to_json` writes it.
    Column("summary", Text, nullable=False),
)

span_refusals = Table(
    "span_refusals",
    metadata,
    Column("organization_id", ORGANIZATION_ID, primary_key=True),
    Column("cause", String(32), primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("spans", BigInteger, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    # Of the last refusal; printable characters only.
    Column("reason", String(300), nullable=False),
)
