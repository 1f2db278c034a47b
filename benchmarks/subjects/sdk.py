"""Our SDK or the official one: both are called `xpander_sdk`, and the environment has one of them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from benchmarks import workload
from benchmarks.subjects import harness
from xpander_sdk import Configuration, Task, Tokens


def _arguments(url: str, size: str, **settings: Any) -> dict[str, Any]:
    return {
        "configuration": Configuration(base_url=url, api_key=workload.KEY, organization_id="org-1", **settings),
        "tokens": Tokens(**workload.TOKENS),
        **workload.arguments(size),
    }


@contextmanager
def session(url: str, size: str) -> Iterator[harness.Report]:
    arguments = _arguments(url, size)

    def report() -> None:
        assert Task.report_external_task(**arguments).id == arguments["id"]

    yield report


def async_session(**settings: Any) -> harness.AsyncSession:
    """Return the session with these settings of `Configuration`."""

    @asynccontextmanager
    async def session(url: str, size: str) -> AsyncIterator[harness.AsyncReport]:
        arguments = _arguments(url, size, **settings)

        async def report() -> None:
            task = await Task.areport_external_task(**arguments)
            assert task.id == arguments["id"]

        yield report

    return session


if __name__ == "__main__":
    harness.main(session, async_session())
