"""Commands that show what a backend has."""

import json
from collections.abc import Iterable
from itertools import islice

import click
from rich.table import Table
from rich.text import Text

from xpander_sdk import AgentExecutionStatus, Backend, Configuration, Metrics, Task, Tasks, TasksListItem
from xpander_sdk.cli.common import (
    agent_named,
    as_json_option,
    cell,
    folded,
    pairs,
    print_json,
    print_table,
    printable,
    status,
    target,
)


@click.command()
@click.argument("agent_id", required=False)
@click.option("--user", "user_id", metavar="ID", help="The tasks of a user, in place of an agent's.")
@click.option(
    "--status", type=click.Choice(list(AgentExecutionStatus), case_sensitive=False), help="Only tasks of this status."
)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many at the most.")
@as_json_option
@target
def history(
    configuration: Configuration,
    as_json: bool,
    agent_id: str | None,
    user_id: str | None,
    status: str | None,
    limit: int,
) -> None:
    """List the tasks of an agent, newest first. Default of AGENT_ID: XPANDER_AGENT_ID."""
    filters = {"status": status}
    if user_id is not None:
        if agent_id is not None:
            raise ValueError("name an agent or --user, not both")
        found = Tasks(configuration).list_user_tasks(user_id, filters, limit=limit)
    else:
        found = Tasks(configuration).list(agent_named(configuration, agent_id, "AGENT_ID"), filters, limit=limit)
    if as_json:
        for item in found:
            print_json(item)
    elif found:
        print_table(history_table(found))
        if len(found) == limit:
            click.echo(f"The newest {limit}; --limit shows more.", err=True)
    else:
        click.echo("No tasks.")


@click.command()
@click.argument("task_id")
@as_json_option
@target
def show(configuration: Configuration, as_json: bool, task_id: str) -> None:
    """Show one task, the provider's response included."""
    task = Task.load(task_id, configuration)
    if as_json:
        print_json(task)
        return
    print_table(pairs(_facts(task)))
    if task.llm_response is not None:
        click.echo("\nllm_response:")
        click.echo(printable(json.dumps(task.llm_response, ensure_ascii=False, indent=2)))


@click.command()
@click.argument("agent_id", required=False)
@click.option("--since", metavar="TIME", help="Only tasks first seen at this time or later: ISO 8601, UTC by default.")
@click.option("--until", metavar="TIME", help="Only tasks first seen before this time.")
@as_json_option
@target
def metrics(
    configuration: Configuration, as_json: bool, agent_id: str | None, since: str | None, until: str | None
) -> None:
    """Show what the runs of an agent add up to. Default of AGENT_ID: XPANDER_AGENT_ID."""
    found = Backend(configuration).metrics(agent_named(configuration, agent_id, "AGENT_ID"), since, until)
    if as_json:
        print_json(found)
    else:
        print_table(metrics_table(found))


def history_table(items: Iterable[TasksListItem]) -> Table:
    """History, as people read it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    # The first three are what a reader needs whole; the result takes the room that is left.
    table.add_column("created (UTC)", no_wrap=True)
    table.add_column("task", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("result")
    for item in items:
        created = "" if item.created_at is None else f"{item.created_at:%Y-%m-%d %H:%M:%S}"
        result = Text(printable((item.result or "").partition("\n")[0])[:500], no_wrap=True, overflow="ellipsis")
        table.add_row(created, cell(folded(item.id)), status(item.status), result)
    return table


def metrics_table(found: Metrics) -> Table:
    """Metrics, as people read them."""
    runs = found.runs
    rate = "" if found.success_rate is None else f" ({found.success_rate:.1%} of those ended)"
    percentiles = (found.duration.p50, found.duration.p95, found.duration.p99)
    tools = islice(found.tools.items(), 20)
    return pairs(
        {
            "agent": found.agent_id or "all",
            "runs": f"{runs.total:,}",
            "completed": f"{runs.completed:,}{rate}",
            "failed": f"{runs.failed:,}",
            "executing": f"{runs.executing:,}",
            "duration p50, p95, p99": ", ".join("–" if value is None else f"{value:.2f} s" for value in percentiles),
            "prompt tokens": f"{found.tokens.prompt_tokens:,}",
            "completion tokens": f"{found.tokens.completion_tokens:,}",
            "cache tokens": f"{found.tokens.cache_read_tokens:,} read, {found.tokens.cache_write_tokens:,} written",
            "tools": "\n".join(f"{name}: {use.calls:,} calls in {use.runs:,} runs" for name, use in tools),
        }
    )


def _facts(task: Task) -> dict[str, str]:
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
