"""Limits of lists and searches: for all organizations, and for each of them."""

import threading
import time

import anyio
import anyio.to_thread
import pytest

from xpander_server.http import concurrency
from xpander_server.http.concurrency import MAX_LISTS, MAX_LISTS_OF_ORGANIZATION, FairListRunner
from xpander_server.http.errors import HTTPError


class Calls:
    """Blocking calls that wait for `gate`, and the largest number of them at a time by organization."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self._lock = threading.Lock()
        self._running: dict[str, int] = {}
        self.most: dict[str, int] = {}

    def of(self, organization_id: str):
        def call() -> str:
            self._add(organization_id, 1)
            assert self.gate.wait(20)
            self._add(organization_id, -1)
            return organization_id

        return call

    def wait_for(self, count: int) -> None:
        """Wait until this many calls run at a time."""
        deadline = time.monotonic() + 10
        while self.most.get("all", 0) < count and time.monotonic() < deadline:
            time.sleep(0.01)

    def _add(self, organization_id: str, change: int) -> None:
        with self._lock:
            self._running[organization_id] = self._running.get(organization_id, 0) + change
            self._running["all"] = self._running.get("all", 0) + change
            for name in (organization_id, "all"):
                self.most[name] = max(self.most.get(name, 0), self._running[name])


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_lists_of_one_organization_leave_threads_for_others(backend):
    calls = Calls()

    async def main() -> list[str]:
        run_list, results = FairListRunner(), []

        async def request(organization_id: str) -> None:
            results.append(await run_list(organization_id, calls.of(organization_id)))

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(request, "busy")
            await anyio.sleep(0.05)
            for name in "abcdefgh":
                group.start_soon(request, name)
            await anyio.to_thread.run_sync(calls.wait_for, MAX_LISTS)
            await anyio.sleep(0.05)
            calls.gate.set()
        return results

    assert len(anyio.run(main, backend=backend)) == 28
    assert calls.most["busy"] == MAX_LISTS_OF_ORGANIZATION
    assert calls.most["all"] == MAX_LISTS


def test_a_list_is_refused_if_too_many_of_its_organization_wait(monkeypatch):
    monkeypatch.setattr(concurrency, "MAX_WAITING_LISTS", 3)
    calls = Calls()
    calls.gate.set()

    async def main() -> list[object]:
        run_list, outcomes = FairListRunner(), []

        async def request(organization_id: str) -> None:
            try:
                outcomes.append(await run_list(organization_id, calls.of(organization_id)))
            except HTTPError as error:
                outcomes.append((error.status, error.headers["Retry-After"]))

        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(request, "busy")
            group.start_soon(request, "other")
        await request("busy")  # there is space again
        return outcomes

    outcomes = anyio.run(main)
    assert outcomes.count((503, "1")) == 10 - MAX_LISTS_OF_ORGANIZATION - 3
    assert outcomes.count("other") == 1
    assert outcomes.count("busy") == MAX_LISTS_OF_ORGANIZATION + 3 + 1
