"""Large request bodies: processes for many values, turns of the organizations, bound of the memory."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress

import anyio
import anyio.to_thread
import pytest

from xpander_server import contract
from xpander_server.api.body_reader import MAX_THREAD_VALUES, MAX_WAITING_BODIES, IsolatingBodyReader
from xpander_server.api.body_worker import BodyWorkers
from xpander_server.api.request_body import BodyMemory, EncodedBody
from xpander_server.body_json import MAX_VALUES
from xpander_server.http.errors import HTTPError

REPORT = contract.operations()["reportTask"]
PROBABILITY = {"token": " the", "logprob": -1.25, "bytes": [32, 116, 104, 101]}
MANY_VALUES = json.dumps({"id": "many", "llm_response": {"model": "m", "logprobs": [PROBABILITY] * 20_000}}).encode()
LARGE = EncodedBody(json.dumps({"input": "x" * 100_000}).encode(), "")


@pytest.fixture
def workers() -> Iterator[BodyWorkers]:
    workers = BodyWorkers()
    yield workers
    workers.close()


def read(reader: IsolatingBodyReader, body: bytes) -> contract.Report:
    return anyio.run(reader, "org", REPORT, EncodedBody(body, ""))


def read_detail(reader: IsolatingBodyReader, body: bytes) -> tuple[int, object]:
    with pytest.raises(HTTPError) as error_info:
        read(reader, body)
    return error_info.value.status, error_info.value.detail


def wait_for_end(process_id: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if os.waitpid(process_id, os.WNOHANG)[0]:
                return
        except ChildProcessError:
            return  # the owner of the process has waited for it
        time.sleep(0.05)
    raise AssertionError("the process does not end")


def test_body_with_many_values_is_decoded_in_another_process(workers: BodyWorkers):
    reader = IsolatingBodyReader(workers)
    assert read(reader, LARGE.data) == REPORT.read_body(LARGE.data)
    assert workers.process_ids == []
    for _ in range(2):
        assert read(reader, MANY_VALUES) == REPORT.read_body(MANY_VALUES)
    assert len(workers.process_ids) == 1


def test_body_with_many_values_is_refused_for_the_same_reasons(workers: BodyWorkers):
    reader = IsolatingBodyReader(workers)
    zeros = b"0," * (MAX_THREAD_VALUES + 1)
    assert read_detail(reader, b'{"llm_response": [%sNaN]}' % zeros) == (
        400,
        "The body contains NaN, which is not JSON.",
    )
    too_many = b'{"llm_response": [%s0]}' % (b"0," * MAX_VALUES)
    assert read_detail(reader, too_many) == (400, "The body contains more than 1,000,000 values.")
    status, detail = read_detail(reader, b'{"used_tools": [%s0]}' % zeros)
    assert status == 422
    assert isinstance(detail, list)
    assert len(detail) == 20


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals")
def test_worker_that_was_killed_is_replaced(workers: BodyWorkers):
    reader = IsolatingBodyReader(workers)
    read(reader, MANY_VALUES)
    (killed,) = workers.process_ids
    os.kill(killed, signal.SIGKILL)
    assert read(reader, MANY_VALUES).get("id") == "many"
    assert killed not in workers.process_ids


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals")
def test_worker_that_does_not_answer_is_ended_and_replaced():
    workers = BodyWorkers()
    try:
        reader = IsolatingBodyReader(workers)
        read(reader, MANY_VALUES)
        (frozen,) = workers.process_ids
        os.kill(frozen, signal.SIGSTOP)
        workers.max_seconds = 2
        with suppress(HTTPError):  # the worker that replaces it may start slowly on a busy machine
            read(reader, MANY_VALUES)
        assert frozen not in workers.process_ids
        wait_for_end(frozen)
        workers.max_seconds = 20
        assert read(reader, MANY_VALUES).get("id") == "many"
    finally:
        workers.close()


def test_idle_worker_ends():
    workers = BodyWorkers(idle_seconds=1)
    try:
        reader = IsolatingBodyReader(workers)
        read(reader, MANY_VALUES)
        wait_for_end(workers.process_ids[0])
        assert read(reader, MANY_VALUES).get("id") == "many"
    finally:
        workers.close()


def test_close_ends_the_processes_and_refuses_bodies():
    workers = BodyWorkers()
    reader = IsolatingBodyReader(workers)
    read(reader, MANY_VALUES)
    (process_id,) = workers.process_ids
    workers.close()
    wait_for_end(process_id)
    assert read_detail(reader, MANY_VALUES) == (503, "The server stops.")


def test_organizations_take_turns_with_large_bodies(workers: BodyWorkers):
    async def main() -> list[str]:
        reader, finished = IsolatingBodyReader(workers), list[str]()

        async def send(organization_id: str) -> None:
            await reader(organization_id, REPORT, LARGE)
            finished.append(organization_id)

        async with anyio.create_task_group() as tasks:
            for _ in range(MAX_WAITING_BODIES):
                tasks.start_soon(send, "many")
            await anyio.lowlevel.checkpoint()
            tasks.start_soon(send, "one")
        return finished

    finished = anyio.run(main)
    assert len(finished) == MAX_WAITING_BODIES + 1
    assert finished.index("one") <= 3


def test_waiting_bodies_of_an_organization_are_limited(workers: BodyWorkers):
    async def main() -> list[int]:
        reader, statuses = IsolatingBodyReader(workers), list[int]()

        async def send() -> None:
            try:
                await reader("org", REPORT, LARGE)
            except HTTPError as error:
                statuses.append(error.status)

        async with anyio.create_task_group() as tasks:
            for _ in range(MAX_WAITING_BODIES + 3):
                tasks.start_soon(send)
        return statuses

    assert anyio.run(main) == [503, 503]


def test_memory_of_bodies_is_shared_and_released():
    memory = BodyMemory(100)
    with memory.reserve("a") as reservation:
        reservation.add(50)
        with pytest.raises(HTTPError, match="503"):
            reservation.add(1)
        with memory.reserve("b") as other:
            other.add(25)
            with pytest.raises(HTTPError, match="503"):
                other.add(1)
    with memory.reserve("b") as reservation:
        reservation.add(50)
