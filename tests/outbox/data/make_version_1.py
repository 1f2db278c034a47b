"""Write `version_1.sql`, an outbox file of version 1 with a report in each state.

    git worktree add ../version-1 b101231
    PYTHONPATH=../version-1/facade:../version-1/generated python tests/outbox/data/make_version_1.py

The modules are those of commit b101231, the last one that wrote version 1. The file is checked in, because current code
cannot write it.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from xpander_sdk.outbox.books import Books
from xpander_sdk.outbox.credentials import Keyring
from xpander_sdk.outbox.database import Database
from xpander_sdk.outbox.file import File
from xpander_sdk.report import Report, encoded

from xpander_sdk import Configuration

NOW = 1_793_000_000_000_000  # microseconds
SECOND = 1_000_000
LEASE = 35 * SECOND
MAX_DEAD = (1_000, 1 << 30)


def write_reports(path: str) -> None:
    store = File(Database(path, "crash", 1_000), lambda: NOW)
    keyring = Keyring(store)

    def put(url: str, id: str, result: str, *, max_reports: int = 1_000, drop_oldest: bool = False) -> None:
        configuration = Configuration(base_url=url, api_key="key-of-version-1", agent_id="agent-1")
        content = encoded({"id": id, "result": result})
        report = Report(agent_id="agent-1", id=id, reported_at=NOW - SECOND, content=content)
        store.put(
            lambda salt: keyring.name(configuration, salt),
            report, max_reports=max_reports, max_bytes=1 << 30, drop_oldest=drop_oldest,
        )  # fmt: skip

    def claim(owner: str = "process-1", destination: int = 1) -> Any:
        return store.claim(owner, [destination], LEASE)

    put("http://one.test", "run-dropped", "1")
    put("http://one.test", "run-delivered", "2", max_reports=1, drop_oldest=True)
    put("http://one.test", "run-delivered", "3")
    store.delivered(claim())
    for result in ("4", "5"):
        put("http://one.test", f"run-dead-{result}", result)
        store.refused(claim(), 422, f"[422] invalid {result}", max_dead=MAX_DEAD)
    Books(store.database).discard([4])
    for result in ("6", "7", "8"):
        put("http://one.test", "run-isolated", result)
    store.refused(claim(), 422, "[422] invalid", max_dead=MAX_DEAD)
    put("http://two.test", "run-rescheduled", "9")
    store.put_off(claim(destination=2), "[503] unavailable", run_wait=2 * SECOND, target_wait=SECOND)
    isolated = claim()
    put("http://one.test", "run-leased", "10")
    assert claim("process-that-dies").task_id == "run-leased"
    store.give_back(isolated)
    for result in ("11", "12"):
        put("http://one.test", "run-queued", result)
    store.database.close()


def dump(path: str) -> str:
    database = Database(path, "crash", 1_000)
    lines = database.do(lambda connection: list(connection.iterdump()))
    application_id, version = (
        database.do(lambda connection, name=name: connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("application_id", "user_version")
    )
    assert version == 1
    pragmas = [f"PRAGMA application_id = {application_id};", f"PRAGMA user_version = {version};"]
    return "\n".join(["PRAGMA auto_vacuum = INCREMENTAL;", *lines, *pragmas, ""])


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        write_reports(f"{folder}/outbox.db")
        Path(__file__).with_name("version_1.sql").write_text(dump(f"{folder}/outbox.db"), "utf-8")
