"""Decoding and validation of request bodies, in the place where they delay other requests least.

    body                        is decoded in       at a time
    up to 64 KiB                the event loop      one
    up to 100,000 values        a thread            one; organizations take turns
    up to 1,000,000 values      another process     one of each organization, two of all

A decoder holds Python's global lock until it ends, so a thread is not enough for many values: 100,000 take about 10 ms.
From another process, only the texts of the report come back. Genuine responses have so many values if they contain the
probabilities of tokens (`top_logprobs`) or embeddings.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from xpander_server.api.body_worker import BodyWorkers
from xpander_server.api.request_body import EncodedBody
from xpander_server.body_json import TooManyValues
from xpander_server.contract import Operation
from xpander_server.http.concurrency import BlockingRunner, FairRunner

MAX_THREAD_VALUES = 100_000
"""Values of a body that is decoded in this process."""
MAX_WAITING_BODIES = 64
"""Large bodies of one organization that wait for the thread."""
MAX_PROCESSES = 2
"""Bodies with many values that are decoded at a time."""
MAX_WAITING_FOR_PROCESS = 8
"""Bodies with many values of one organization that wait for a process."""

BodyReader = Callable[[str, Operation, EncodedBody], Awaitable[Any]]
"""Function that decodes and validates a large body for an organization."""


def without_isolation(run: BlockingRunner) -> BodyReader:
    """Return a reader that decodes all bodies with `run`, for programs in which nobody else waits."""

    async def read(organization_id: str, operation: Operation, body: EncodedBody) -> Any:
        return await run(lambda: operation.read_body(body.decode()))

    return read


class IsolatingBodyReader:
    """Reader of large bodies for a server that organizations share.

    Args:
        workers: Processes for bodies with many values.
    """

    def __init__(self, workers: BodyWorkers) -> None:
        self._workers = workers
        self._run_in_thread = FairRunner(
            "large bodies",
            max_running=1,
            max_running_of_organization=1,
            max_waiting_of_organization=MAX_WAITING_BODIES,
        )
        self._run_in_process = FairRunner(
            "bodies with many values",
            max_running=MAX_PROCESSES,
            max_running_of_organization=1,
            max_waiting_of_organization=MAX_WAITING_FOR_PROCESS,
        )

    async def __call__(self, organization_id: str, operation: Operation, body: EncodedBody) -> Any:
        """Return the decoded and validated body.

        Raises:
            HTTPError: 503 if too many bodies of the organization wait; otherwise as `Operation.read_body`.
        """
        try:
            return await self._run_in_thread(
                organization_id, lambda: operation.read_body(body.decode(), MAX_THREAD_VALUES)
            )
        except TooManyValues:
            return await self._run_in_process(organization_id, lambda: self._workers.read(operation.name, body))
