"""httpx with default settings: one client, prepared bytes, and the decoded response."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx

from benchmarks import workload
from benchmarks.subjects import harness

HEADERS = {"x-api-key": workload.KEY, "content-type": "application/json"}


@contextmanager
def session(url: str, size: str) -> Iterator[harness.Report]:
    target, body = url + workload.PATH, workload.body(size)

    def report() -> None:
        response = client.post(target, content=body, headers=HEADERS)
        response.raise_for_status()
        response.json()

    with httpx.Client() as client:
        yield report


@asynccontextmanager
async def async_session(url: str, size: str) -> AsyncIterator[harness.AsyncReport]:
    target, body = url + workload.PATH, workload.body(size)

    async def report() -> None:
        response = await client.post(target, content=body, headers=HEADERS)
        response.raise_for_status()
        response.json()

    async with httpx.AsyncClient() as client:
        yield report


if __name__ == "__main__":
    harness.main(session, async_session)
