"""Calls of a process that has fewer file descriptors than calls."""

import pytest

from runtimes.processes import run


@pytest.mark.parametrize("form", ["threads", "asyncio", "trio"])
def test_calls_wait_for_a_free_descriptor(form, stub):
    program = run(stub.target(), "descriptors.report_with_few_descriptors", form, development_mode=False)
    assert program.result == {"completed": 200}


@pytest.mark.parametrize("form", ["threads", "asyncio"])
def test_idle_connections_are_closed_for_a_new_destination(form, stub):
    program = run(stub.target(), "descriptors.report_after_idle_connections", form, development_mode=False)
    assert program.result == "completed"
