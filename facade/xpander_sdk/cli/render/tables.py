"""Tables of tasks and metrics."""

from collections.abc import Iterable, Sequence
from itertools import islice

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xpander_sdk import Metrics, ModelCall, Task, TasksListItem
from xpander_sdk.cli.render.charts import stacked_bar
from xpander_sdk.cli.render.figures import dollars_text, seconds_text
from xpander_sdk.cli.render.output import new_table
from xpander_sdk.cli.render.text import STATUS_STYLES, count_noun, fold, plain_text, printable, status_text
from xpander_sdk.metrics import MetricsPoint, RunCounts

# Columns of a bar. With the other columns, a line has at most 80.
_SHORT_BAR, _LONG_BAR = 16, 24
_MAX_TOOLS = _MAX_MODELS = 20
_MIN_WIDTH_OF_COLUMNS = 72
"""Columns of a terminal on which a history has columns of its own for the time, the id and the status."""
_MIN_WIDTH_OF_BARS = 72
"""Columns of a terminal that has room for numbers and bars. On a narrower one, rich would cut the numbers."""


def history_table(items: Iterable[TasksListItem]) -> Table:
    """Return a table of tasks. The columns are as wide as their contents; on a narrow terminal, there is only one."""
    table = new_table()
    if (width := Console().width) < _MIN_WIDTH_OF_COLUMNS:
        table.add_column("created (UTC), status, task, figures, result", overflow="fold")
        for item in items:
            created, task, status, result = _history_row(item, 40)
            first_line = Text(f"{created} ").append(status)
            texts = result.split()
            for text in texts:
                text.truncate(width, overflow="ellipsis")
            lines = [line for line in (first_line, *task.split(), *texts) if line.plain]
            table.add_row(Text("\n").join(lines))
        return table
    # Readers need the first three columns unabridged. The result takes the rest of the line.
    for name in ("created (UTC)", "task", "status"):
        table.add_column(name, no_wrap=True)
    table.add_column("result")
    for item in items:
        table.add_row(*_history_row(item, 40))
    return table


def follow_table(items: Iterable[TasksListItem], *, has_header: bool) -> Table:
    """Return a table of tasks with fixed widths, so that consecutive tables align."""
    table = new_table(has_header=has_header)
    for name, width in (("created (UTC)", 19), ("task", 36), ("status", 10)):
        table.add_column(name, width=width, no_wrap=True)
    table.add_column("result")
    for item in items:
        table.add_row(*_history_row(item, 36))
    return table


def metrics_table(metrics: Metrics) -> Table:
    """Return a table of one agent's metrics, with bars for statuses and tools."""
    runs, tokens, console = metrics.runs, metrics.tokens, Console()
    table = new_table(has_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    rate = "" if metrics.success_rate is None else f" ({metrics.success_rate:.1%} of ended runs)"
    table.add_row("agent", plain_text(metrics.agent_id or "all"))
    table.add_row("runs", f"{runs.total:,}")
    for name, count in (("completed", runs.completed), ("failed", runs.failed), ("executing", runs.executing)):
        bar = _bar([(count, STATUS_STYLES[name])], runs.total, _SHORT_BAR, console)
        table.add_row(name, f"{count:,}{rate if name == 'completed' else ''}", *bar)
    percentiles = (metrics.duration.p50, metrics.duration.p95, metrics.duration.p99)
    durations = ("–" if seconds is None else seconds_text(seconds) for seconds in percentiles)
    table.add_row("duration p50, p95, p99", ", ".join(durations))
    table.add_row("prompt tokens", f"{tokens.prompt_tokens:,}")
    table.add_row("completion tokens", f"{tokens.completion_tokens:,}")
    table.add_row("cache tokens", f"{tokens.cache_read_tokens:,} read, {tokens.cache_write_tokens:,} written")
    table.add_row("cost", _cost_text(metrics.cost.total, metrics.cost.unpriced_runs))
    for number, (name, model) in enumerate(islice(metrics.models.items(), _MAX_MODELS)):
        cost = _cost_text(model.cost, model.unpriced_runs)
        usage_text = f"{name}: {count_noun(model.runs, 'run')}, {model.total_tokens:,} tokens, {cost}"
        table.add_row("models" if number == 0 else "", plain_text(usage_text))
    max_calls = max((usage.calls for usage in metrics.tools.values()), default=0)
    for number, (name, usage) in enumerate(islice(metrics.tools.items(), _MAX_TOOLS)):
        counts = plain_text(f"{name}: {count_noun(usage.calls, 'call')} in {count_noun(usage.runs, 'run')}")
        bar = _bar([(usage.calls, "blue")], max_calls, _SHORT_BAR, console)
        table.add_row("tools" if number == 0 else "", counts, *bar)
    for kind, number in metrics.other_names.items():
        table.add_row(f"other {kind}", f"about {number:,}, without a row of their own")
    return table


def series_table(points: Sequence[MetricsPoint], bucket: str) -> Table:
    """Return a table of metrics over time with a row and a bar for each time bucket.

    Args:
        points: metrics of each bucket, oldest first.
        bucket: length of a bucket, "hour" or "day".
    """
    console = Console()
    table = new_table()
    table.add_column(f"{bucket} (UTC)", no_wrap=True)
    for name in ("runs", "failed", "p95", "tokens", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    if _has_room_for_bars(console):
        table.add_column("completed, failed, executing", no_wrap=True)
    max_runs = max((point.runs.total for point in points), default=0)
    for point in points:
        runs, p95 = point.runs, point.duration.p95
        parts = [(getattr(runs, name), STATUS_STYLES[name]) for name in ("completed", "failed", "executing")]
        table.add_row(
            f"{point.start:%Y-%m-%d}" if bucket == "day" else f"{point.start:%Y-%m-%d %H:%M}",
            f"{runs.total:,}",
            f"{runs.failed:,}",
            "" if p95 is None else seconds_text(p95),
            f"{point.tokens.total_tokens:,}",
            "" if point.cost.total is None else dollars_text(point.cost.total, 2),
            *_bar(parts, max_runs, _LONG_BAR, console),
        )
    return table


def agents_table(rows: Sequence[tuple[str, RunCounts]]) -> Table:
    """Return a table of agents with their numbers of runs by status."""
    table = new_table()
    table.add_column("agent", overflow="fold")
    for name in ("runs", "completed", "failed", "executing"):
        table.add_column(name, justify="right", no_wrap=True)
    for agent_id, runs in rows:
        counts = (runs.total, runs.completed, runs.failed, runs.executing)
        table.add_row(plain_text(agent_id), *(f"{count:,}" for count in counts))
    return table


def _has_room_for_bars(console: Console) -> bool:
    return console.width >= _MIN_WIDTH_OF_BARS


def _bar(parts: list[tuple[float, str]], maximum: float, width: int, console: Console) -> list[Text]:
    """Return the cell with a bar; nothing on a narrow terminal."""
    return [stacked_bar(parts, maximum, width, console)] if _has_room_for_bars(console) else []


def _cost_text(dollars: float | None, unpriced_runs: int) -> str:
    unpriced = f"{count_noun(unpriced_runs, 'run')} not priced" if unpriced_runs else ""
    return ", ".join(filter(None, ("" if dollars is None else dollars_text(dollars, 4), unpriced))) or "–"


def task_fields(task: Task) -> dict[str, str]:
    """Return name and text of each field of a task that has a value, except the provider's response."""
    tokens = task.tokens
    fields = {
        "task": task.id,
        "agent": task.agent_id,
        "organization": task.organization_id,
        "status": f"{task.status.value} (stale)" if task.is_stale else task.status.value,
        "created": str(task.created_at),
        "started": str(task.started_at or ""),
        "finished": str(task.finished_at or ""),
        "duration": "" if task.duration is None else seconds_text(task.duration),
        "tokens": "" if tokens is None else f"{tokens.prompt_tokens} prompt, {tokens.completion_tokens} completion",
        "model": task.model or "",
        "cost": "" if task.cost is None else dollars_text(task.cost, 6),
        "tools": ", ".join(task.used_tools),
        "user": task.user_id or "",
        "conversation": task.conversation_id or "",
        "parent": task.parent_task_id or "",
        "metadata": "\n".join(f"{name}={value}" for name, value in task.metadata.items()),
        "error": task.error or "",
        "input": task.input.text or "",
        "result": task.result or "",
    }
    return {name: value for name, value in fields.items() if value}


def calls_table(calls: Sequence[ModelCall]) -> Table:
    """Return a table of the model calls of a task; without providers and errors on a narrow terminal."""
    table = new_table()
    is_narrow = Console().width < _MIN_WIDTH_OF_COLUMNS
    # The texts are folded, so that the numbers stay whole.
    table.add_column("model call", overflow="fold")
    # Backends return the costs that were reported, not those that they computed from prices.
    has_costs = any(call.cost is not None for call in calls)
    for name in ("prompt", "completion", "duration", *(["reported cost"] if has_costs else [])):
        table.add_column(name, justify="right", no_wrap=True)
    if not is_narrow:
        table.add_column("provider", overflow="fold")
        table.add_column("error", overflow="fold")
    for call in calls:
        texts = (call.provider or "–", printable((call.error or "").partition("\n")[0]))
        table.add_row(
            plain_text(call.model or "–"),
            *(_count(call.tokens.get(kind)) for kind in ("prompt_tokens", "completion_tokens")),
            "–" if call.duration is None else seconds_text(call.duration),
            *(["–" if call.cost is None else dollars_text(call.cost, 6)] if has_costs else []),
            *(() if is_narrow else map(plain_text, texts)),
        )
    return table


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"


def _history_row(item: TasksListItem, width: int) -> tuple[str, Text, Text, Text]:
    """Return the cells of a task. The figures are below its id, the model and the user below its result."""
    created = "" if item.created_at is None else f"{item.created_at:%Y-%m-%d %H:%M:%S}"
    figures = (
        None if item.duration is None else seconds_text(item.duration),
        None if item.tokens is None else f"{item.tokens.total_tokens:,} tokens",
        None if item.cost is None else dollars_text(item.cost, 4),
    )
    task = plain_text(fold(item.id, width))
    if any(figures):
        task.append("\n" + ", ".join(filter(None, figures)), style="dim")
    result = Text(printable((item.error or item.result or "").partition("\n")[0])[:500])
    names = ", ".join(printable(name) for name in (item.model, item.user_id) if name)
    if names:
        result.append("\n" + names, style="dim")
    result.no_wrap, result.overflow = True, "ellipsis"
    return created, task, status_text(item.status, is_stale=item.is_stale is True), result
