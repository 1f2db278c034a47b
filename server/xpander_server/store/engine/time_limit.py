"""Time limit of statements: the database stops a statement that takes longer."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

_OPERATIONS = 10_000  # of SQLite's virtual machine between two looks at the clock: about 0.1 ms


@contextmanager
def statement_time_limit(connection: Connection, seconds: float) -> Iterator[None]:
    """Stop statements that are executed in this context and take too long.

    For PostgreSQL, the limit applies to each statement, until the end of the transaction. For SQLite, it applies to
    all statements of the context together.

    Args:
        connection: A connection in a transaction. A statement that is stopped raises SQLAlchemy's `OperationalError`.
        seconds: The limit.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {round(seconds * 1_000)}")
        yield
        return
    driver: Any = connection.connection.driver_connection
    deadline = time.monotonic() + seconds
    driver.set_progress_handler(lambda: time.monotonic() > deadline, _OPERATIONS)
    try:
        yield
    finally:
        driver.set_progress_handler(None, 0)
