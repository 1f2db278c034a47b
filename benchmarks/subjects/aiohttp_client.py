"""aiohttp with default settings: one session, prepared bytes, and the decoded response."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from benchmarks import workload
from benchmarks.subjects import harness

HEADERS = {"x-api-key": workload.KEY, "content-type": "application/json"}


@asynccontextmanager
async def async_session(url: str, size: str) -> AsyncIterator[harness.AsyncReport]:
    target, body = url + workload.PATH, workload.body(size)

    async def report() -> None:
        async with client.post(target, data=body, headers=HEADERS) as response:
            response.raise_for_status()
            await response.json()

    async with aiohttp.ClientSession() as client:
        yield report


if __name__ == "__main__":
    harness.main(None, async_session)
