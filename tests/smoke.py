"""Smoke test of the SDK: report runs into a SQLite file, directly and with the outbox, and read them.

Usage: python tests/smoke.py

CI runs this program on macOS and Windows, where no other tests run. It needs the extra `server`, and nothing else.
"""

import asyncio
import os
import tempfile

from xpander_sdk import Backend, Configuration, OutboxSettings, Task, Tasks, Tokens


def report_directly(configuration: Configuration) -> None:
    """Report one run in the synchronous and one in the asynchronous form."""
    task = Task.report_external_task(
        configuration=configuration, agent_id="agent-1", id="run-1", result="Up 22%", tokens=Tokens(prompt_tokens=10)
    )
    assert (task.id, task.status) == ("run-1", "completed"), task
    task = asyncio.run(
        Task.areport_external_task(configuration=configuration, agent_id="agent-1", id="run-2", is_success=False)
    )
    assert (task.id, task.status) == ("run-2", "failed"), task


def report_with_outbox(configuration: Configuration) -> None:
    """Submit two runs to an outbox, and wait until they are delivered."""
    backend = Backend(configuration.with_options(outbox=OutboxSettings(file="outbox.db")))
    receipts = [backend.submit_external_task(agent_id="agent-1", id=f"run-{number}") for number in (3, 4)]
    assert backend.outbox.flush(30), backend.outbox.stats()
    assert [receipt.state for receipt in receipts] == ["delivered", "delivered"], receipts
    assert backend.outbox.close(30)
    backend.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        configuration = Configuration(base_url="sqlite:///runs.db")
        report_directly(configuration)
        report_with_outbox(configuration)
        # Not `list`: its page has fewer runs if the machine is so busy that it takes a quarter of a second.
        history = list(Tasks(configuration=configuration).iterate(agent_id="agent-1"))
        assert sorted(item.id for item in history) == ["run-1", "run-2", "run-3", "run-4"], history
        assert Backend(configuration).metrics("agent-1").runs.total == 4
        Backend(configuration).close()
        os.chdir(os.path.dirname(folder))  # Windows cannot delete the current folder.
    print("4 runs reported and read")


if __name__ == "__main__":
    main()
