"""Timing leaks: requests for data of another organization send the same SQL as requests for absent data.

The tests compare statements instead of times, because times depend on the machine.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, event

from xpander_server.api.app import create_app
from xpander_server.auth import verifier
from xpander_server.auth.api_keys import ApiKeys
from xpander_server.auth.authentication import KeyAuthenticator
from xpander_server.auth.verifier import Verifier
from xpander_server.embedded import Embedded
from xpander_server.http.concurrency import run_in_threadpool
from xpander_server.store import Store

JSON_HEADERS = [(b"content-type", b"application/json")]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store(url)
    yield store
    store.close()


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """Return the SQL statements that are sent, without their parameters."""
    sent: list[str] = []

    def record(_connection, _cursor, statement, *_rest) -> None:
        sent.append(statement)

    event.listen(Engine, "before_cursor_execute", record)
    yield sent
    event.remove(Engine, "before_cursor_execute", record)


@pytest.fixture(autouse=True)
def _keys_stay_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier, "CACHE_SECONDS", 3_600.0)


def responses_and_statements(
    store: Store, statements: list[str], paths: list[str], key: str
) -> list[tuple[str, list[str]]]:
    """Return, for each path, the response without the names in the path, and the SQL statements of the request."""
    app = create_app(store, KeyAuthenticator(Verifier(store.keys)), run_in_threadpool)

    async def request_paths() -> list[tuple[str, list[str]]]:
        results = []
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
            await client.get("/agents-metrics/a", headers={"x-api-key": key})  # puts the key into the cache
            for path in paths:
                statements.clear()
                response = await client.get(path, headers={"x-api-key": key})
                text = response.text.replace("theirs", "…").replace("absent", "…")
                results.append((f"{response.status_code} {text}", list(statements)))
        return results

    return asyncio.run(request_paths())


@pytest.mark.parametrize(
    "path",
    [
        "/agent-execution/{}/status",
        "/agent-execution/executions/history/{}",
        "/agent-execution/executions/history/user/{}",
        "/agents-metrics/{}",
    ],
)
def test_data_of_other_organization_is_queried_like_absent_data(store, url, statements, path):
    key = ApiKeys(store.keys).create("key", "mine")
    report = {"id": "theirs", "user_id": "theirs", "result": "r"}
    theirs = Embedded(url, "theirs")
    theirs.call("POST", b"/agent-execution/theirs/report_task", JSON_HEADERS, json.dumps(report).encode())
    theirs.close()
    for_absent, for_other_organization = responses_and_statements(
        store, statements, [path.format("absent"), path.format("theirs")], key
    )
    assert for_absent == for_other_organization
    assert for_absent[1] != []


def test_path_of_other_organization_is_rejected_without_a_query(store, statements):
    keys = ApiKeys(store.keys)
    mine, _ = keys.create("key", "mine"), keys.create("key", "theirs")
    paths = ["/absent/agents-metrics/a", "/theirs/agents-metrics/a"]
    for_absent, theirs = responses_and_statements(store, statements, paths, mine)
    assert for_absent == theirs
    assert for_absent[1] == []
