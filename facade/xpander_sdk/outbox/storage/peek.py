"""Cheap look at an outbox file, without the modules that deliver."""

import sqlite3
from contextlib import closing
from urllib.parse import quote

from xpander_sdk.errors import OutboxError
from xpander_sdk.outbox.storage import file_guard


def may_have_pending(path: str) -> bool:
    """Return False if no report can be pending in the file at `path`, which must exist.

    The result is True if that is unknown, for example because another process has locked the file.
    """
    try:
        file_guard.check_files(path)
        # Not read-only: the last connection to a file removes SQLite's log, if it may write.
        url = f"file:{quote(path)}?mode=rw"
        with closing(sqlite3.connect(url, uri=True, timeout=0, isolation_level=None)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            (pending,) = connection.execute("SELECT pending FROM counters").fetchone()
    except OutboxError:
        return False
    except (sqlite3.Error, TypeError):
        return True
    return bool(pending)
