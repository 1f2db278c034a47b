"""What a stranger could learn from how long an answer takes: the same questions are asked of the store, whosever a task
is. Counted, not measured: a clock would tell more of the machine than of the code."""

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

AS_JSON = [(b"content-type", b"application/json")]


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
    """The SQL that is sent, without its parameters."""
    sent: list[str] = []

    def note(_connection, _cursor, statement, *_rest) -> None:
        sent.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield sent
    event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture(autouse=True)
def _keys_stay_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier, "CACHE_SECONDS", 3_600.0)


def asked(store: Store, statements: list[str], paths: list[str], key: str) -> list[tuple[str, list[str]]]:
    """For each path: the answer, less what tells the paths apart, and what was asked of the store for it."""
    app = create_app(store, KeyAuthenticator(Verifier(store.keys)), run_in_threadpool)

    async def ask() -> list[tuple[str, list[str]]]:
        seen = []
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
            await client.get("/agents-metrics/a", headers={"x-api-key": key})  # the key is remembered from here on
            for path in paths:
                statements.clear()
                answer = await client.get(path, headers={"x-api-key": key})
                text = answer.text.replace("theirs", "…").replace("absent", "…")
                seen.append((f"{answer.status_code} {text}", list(statements)))
        return seen

    return asyncio.run(ask())


@pytest.mark.parametrize(
    "path",
    [
        "/agent-execution/{}/status",
        "/agent-execution/executions/history/{}",
        "/agent-execution/executions/history/user/{}",
        "/agents-metrics/{}",
    ],
)
def test_what_another_organisation_has_is_asked_for_like_what_nobody_has(store, url, statements, path):
    key = ApiKeys(store.keys).create("key", "mine")
    stored = {"id": "theirs", "user_id": "theirs", "result": "r"}
    theirs = Embedded(url, "theirs")
    theirs.call("POST", b"/agent-execution/theirs/report_task", AS_JSON, json.dumps(stored).encode())
    theirs.close()
    nobodys, anothers = asked(store, statements, [path.format("absent"), path.format("theirs")], key)
    assert nobodys == anothers
    assert nobodys[1] != []


def test_another_organisation_in_front_of_the_path_is_refused_without_a_look_into_the_store(store, statements):
    keys = ApiKeys(store.keys)
    mine, _ = keys.create("key", "mine"), keys.create("key", "theirs")
    paths = ["/absent/agents-metrics/a", "/theirs/agents-metrics/a"]
    nobodys, theirs = asked(store, statements, paths, mine)
    assert nobodys == theirs
    assert nobodys[1] == []
