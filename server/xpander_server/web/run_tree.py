"""Rows of the runs that a run started: levels, and bars of their time within the time of all of them."""

from collections.abc import Sequence

from attrs import frozen

from xpander_server.domain.model_calls import total_tokens
from xpander_server.domain.task import Task
from xpander_server.store import TaskTree, TreeTask

_SMALLEST_WIDTH = 0.8


@frozen
class TreeRow:
    """One run of a tree.

    Attributes:
        task: The run.
        level: 1 for a child of the run, 2 for a child of a child.
        start: The start of its bar, in percent of the time of all runs.
        width: The length of its bar, in the same unit.
    """

    task: Task
    level: int
    start: float
    width: float


@frozen
class TreeTotals:
    """Totals of the runs below a run."""

    runs: int
    failed: int
    tokens: int
    cost: int


def tree_rows(task: Task, tree: TaskTree) -> list[TreeRow]:
    """Return a row for each run below a run."""
    times = [_time(each) for each in (task, *(item.task for item in tree.descendants))]
    first, last = min(start for start, _ in times), max(end for _, end in times)
    return [_row(item, first, max(1, last - first)) for item in tree.descendants]


def tree_totals(descendants: Sequence[TreeTask]) -> TreeTotals:
    """Return the totals of the runs below a run."""
    runs = [item.task for item in descendants]
    return TreeTotals(
        runs=len(runs),
        failed=sum(run.is_success is False for run in runs),
        tokens=sum(total_tokens(run.tokens) for run in runs if run.tokens),
        cost=sum(run.cost or 0 for run in runs),
    )


def _row(item: TreeTask, first: int, length: int) -> TreeRow:
    start, end = _time(item.task)
    width = max(_SMALLEST_WIDTH, 100 * (end - start) / length)
    return TreeRow(item.task, item.level, min(100 * (start - first) / length, 100 - width), width)


def _time(task: Task) -> tuple[int, int]:
    """Return the start and the end of a run."""
    started_at = task.started_at
    start = task.created_at if started_at is None else min(started_at, task.created_at)
    return start, max(start, task.updated_at if task.finished_at is None else task.finished_at)
