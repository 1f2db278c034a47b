"""Tasks and metrics, as people read them."""

from collections.abc import Iterable, Sequence
from itertools import islice

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xpander_sdk import Metrics, Task, TasksListItem
from xpander_sdk.cli.charts import bar
from xpander_sdk.cli.common import STYLES, cell, folded, printable, status
from xpander_sdk.cli.series import Step
from xpander_sdk.metrics import MetricsPoint

_SHORT_BAR, _LONG_BAR = 16, 30  # columns: with all else, a line of 80


def history_table(items: Iterable[TasksListItem]) -> Table:
    """A history."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    # The first three are what a reader needs whole; the result takes the room that is left.
    table.add_column("created (UTC)", no_wrap=True)
    table.add_column("task", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("result")
    for item in items:
        table.add_row(*_row(item, 40))
    return table


def following_table(items: Iterable[TasksListItem], with_header: bool) -> Table:
    """Some rows of a history that goes on: all such tables have the same columns."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=with_header)
    for name, width in (("created (UTC)", 19), ("task", 36), ("status", 10)):
        table.add_column(name, width=width, no_wrap=True)
    table.add_column("result")
    for item in items:
        table.add_row(*_row(item, 36))
    return table


def metrics_table(found: Metrics) -> Table:
    """Metrics, with bars for what they are made of."""
    runs, console = found.runs, Console()
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(no_wrap=True)
    rate = "" if found.success_rate is None else f" ({found.success_rate:.1%} of those ended)"
    table.add_row("agent", cell(found.agent_id or "all"))
    table.add_row("runs", f"{runs.total:,}")
    for name, count in (("completed", runs.completed), ("failed", runs.failed), ("executing", runs.executing)):
        told = f"{count:,}{rate if name == 'completed' else ''}"
        table.add_row(name, told, bar([(count, STYLES[name])], runs.total, _SHORT_BAR, console))
    percentiles = (found.duration.p50, found.duration.p95, found.duration.p99)
    table.add_row("duration p50, p95, p99", ", ".join("–" if one is None else f"{one:.2f} s" for one in percentiles))
    tokens = found.tokens
    table.add_row("prompt tokens", f"{tokens.prompt_tokens:,}")
    table.add_row("completion tokens", f"{tokens.completion_tokens:,}")
    table.add_row("cache tokens", f"{tokens.cache_read_tokens:,} read, {tokens.cache_write_tokens:,} written")
    most = max((use.calls for use in found.tools.values()), default=0)
    for number, (name, use) in enumerate(islice(found.tools.items(), 20)):
        used = cell(f"{name}: {use.calls:,} calls in {use.runs:,} runs")
        table.add_row("tools" if number == 0 else "", used, bar([(use.calls, "blue")], most, _SHORT_BAR, console))
    return table


def series_table(points: Sequence[MetricsPoint], by: Step) -> Table:
    """Metrics over time, a bar a step."""
    console = Console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(f"{by} (UTC)", no_wrap=True)
    for name in ("runs", "failed", "p95", "tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("completed, failed, executing", no_wrap=True)
    most = max((point.runs.total for point in points), default=0)
    for point in points:
        runs, p95 = point.runs, point.duration.p95
        parts = [(getattr(runs, name), STYLES[name]) for name in ("completed", "failed", "executing")]
        table.add_row(
            f"{point.start:%Y-%m-%d}" if by == "day" else f"{point.start:%Y-%m-%d %H:%M}",
            f"{runs.total:,}",
            f"{runs.failed:,}",
            "" if p95 is None else f"{p95:.2f} s",
            f"{point.tokens.total_tokens:,}",
            bar(parts, most, _LONG_BAR, console),
        )
    return table


def _row(item: TasksListItem, width: int) -> tuple[str, Text, Text, Text]:
    created = "" if item.created_at is None else f"{item.created_at:%Y-%m-%d %H:%M:%S}"
    result = Text(printable((item.result or "").partition("\n")[0])[:500], no_wrap=True, overflow="ellipsis")
    return created, cell(folded(item.id, width)), status(item.status), result


def task_facts(task: Task) -> dict[str, str]:
    """Of a task, what there is, but for the provider's response."""
    tokens = task.tokens
    facts = {
        "task": task.id,
        "agent": task.agent_id,
        "organisation": task.organization_id,
        "status": task.status.value,
        "created": str(task.created_at),
        "started": str(task.started_at or ""),
        "finished": str(task.finished_at or ""),
        "duration": "" if task.duration is None else f"{task.duration:g} s",
        "tokens": "" if tokens is None else f"{tokens.prompt_tokens} prompt, {tokens.completion_tokens} completion",
        "tools": ", ".join(task.used_tools),
        "input": task.input.text or "",
        "result": task.result or "",
    }
    return {name: value for name, value in facts.items() if value}
