"""State of an outbox after a program: delivered and pending reports."""

from pathlib import Path
from typing import Any

from runtimes.processes import Target
from xpander_sdk import Backend, Tasks, Timeouts

# The leases of an ended process expire after 6 s with these timeouts.
TIMEOUTS = Timeouts(connect=1.0, read=1.0, total=1.0)


def open_outbox(target: Target, outbox_file: Path) -> Any:
    settings = {"outbox": outbox_file, "timeouts": TIMEOUTS, "agent_id": target.agent_id}
    return Backend(target.configuration.with_options(**settings)).outbox


def delivered_names(target: Target, outbox_file: Path) -> set[str]:
    """Deliver the reports that the program left, and return the names of all recorded runs."""
    outbox = open_outbox(target, outbox_file)
    assert outbox.drain(60), outbox.stats()
    stats = outbox.stats()
    outbox.close(0)
    assert (stats.accepted, stats.pending, stats.dead) == (stats.delivered, 0, 0)
    names = [task.result for task in Tasks(target.configuration).list(target.agent_id)]
    assert len(names) == len(set(names))
    return set(names)


def pending_count(target: Target, outbox_file: Path) -> int:
    return int(open_outbox(target, outbox_file).stats().pending)
