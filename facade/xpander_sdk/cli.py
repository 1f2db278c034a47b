"""xpander-report: send runs, look at them, serve them.

Exit codes: 0 done; 1 refused by the backend; 2 wrong usage or settings; 75 no answer, or the backend is in trouble: try
again later.
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from itertools import islice
from typing import IO, Any, NoReturn

try:
    import click
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text
except ModuleNotFoundError as missing:
    sys.exit(f"xpander-report needs {missing.name} at the command line: pip install 'xpander-report[cli]'")

from xpander_sdk import (
    AgentExecutionStatus,
    Backend,
    Configuration,
    Metrics,
    Task,
    Tasks,
    TasksListItem,
    Tokens,
    __version__,
    errors,
)
from xpander_sdk.arguments import agent_of
from xpander_sdk.configuration import without_password
from xpander_sdk.encoding import jsonable
from xpander_sdk.tokens import KINDS

REFUSED, USAGE, TRY_AGAIN = 1, 2, 75
_TRANSIENT = (errors.ConnectionFailedError, errors.TimedOutError, errors.ServerError, errors.RateLimitedError)
_STYLES = {"completed": "green", "failed": "red", "executing": "yellow"}


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="xpander-report")
def main() -> None:
    """Record AI agents' runs, and look at them.

    The target is XPANDER_BASE_URL (or --base-url): https://… for xpander.ai's cloud or a self-hosted controller,
    http://127.0.0.1:8100 for `xpander-report serve`, sqlite:///runs.db for a file without a server. The key is read
    from XPANDER_API_KEY alone, so that it never stands in a command line.
    """


def _target(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say where to, as one `configuration` argument; failures as exit codes."""

    @click.option("--base-url", metavar="URL", help="Where to. Default: XPANDER_BASE_URL, else the cloud.")
    @click.option("--organization-id", metavar="ID", help="Default: XPANDER_ORGANIZATION_ID.")
    @wraps(command)
    def run(base_url: str | None, organization_id: str | None, **arguments: Any) -> None:
        try:
            configuration = Configuration(base_url=base_url, organization_id=organization_id)
            command(configuration=configuration, **arguments)
        except errors.ModuleException as error:
            _fail(str(error), TRY_AGAIN if isinstance(error, _TRANSIENT) else REFUSED)
        except (ValueError, ModuleNotFoundError) as error:
            _fail(str(error), USAGE)

    return run


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"error: {_printable(message)}", err=True)
    sys.exit(code)


_as_json = click.option("--json", "as_json", is_flag=True, help="JSON for programs.")


@main.command()
@click.option("--agent-id", metavar="ID", help="The agent. Default: XPANDER_AGENT_ID.")
@click.option("--id", "id", metavar="ID", help="The run's id. Default: a new one.")
@click.option("--input", "input", metavar="TEXT", help="What the agent was asked.")
@click.option("--result", metavar="TEXT", help="The final answer.")
@click.option(
    "--llm-response", type=click.File(encoding="utf-8-sig"), help="A file with the provider's response, JSON."
)
@click.option("--prompt-tokens", type=int, help="Tokens that the model read.")
@click.option("--completion-tokens", type=int, help="Tokens that the model wrote.")
@click.option("--cache-read-tokens", type=int, help="Tokens read from the provider's cache.")
@click.option("--cache-write-tokens", type=int, help="Tokens written to the provider's cache.")
@click.option("--duration", type=float, help="Wall-clock seconds.")
@click.option("--tool", "tools", metavar="NAME", multiple=True, help="A tool that was called; as often as you like.")
@click.option("--failed", is_flag=True, help="The run failed.")
@click.option("--in-progress", is_flag=True, help="The run goes on.")
@click.option(
    "--from",
    "reports",
    type=click.File(encoding="utf-8-sig"),
    help="Many runs, in place of the options above but --agent-id: a file (- for standard input) with a JSON object a "
    "line, its keys the arguments of report_external_task. Stops at the first that fails, and says which.",
)
@_as_json
@_target
def send(
    configuration: Configuration,
    as_json: bool,
    reports: IO[str] | None,
    agent_id: str | None,
    failed: bool,
    in_progress: bool,
    llm_response: IO[str] | None,
    tools: tuple[str, ...],
    **report: Any,
) -> None:
    """Record one run, or many with --from. A run whose id is known is updated: what is not given stays as it is."""
    if failed and in_progress:
        raise ValueError("a run that goes on has not failed: --failed or --in-progress?")
    tokens = {kind: report.pop(kind) for kind in KINDS}
    if any(count is not None for count in tokens.values()):
        report["tokens"] = Tokens(**{kind: count or 0 for kind, count in tokens.items()})
    if reports is not None:
        if failed or in_progress or llm_response or tools or any(value is not None for value in report.values()):
            raise ValueError("--from takes each run from a line of the file; of the other options, only --agent-id")
        for task in _send_all(configuration, agent_id, reports):
            _print_sent(task, as_json)
        return
    if llm_response is not None:
        report["llm_response"] = _json_of(llm_response.read(), llm_response.name)
    task = Task.report_external_task(
        configuration=configuration,
        agent_id=_agent(configuration, agent_id, "--agent-id"),
        is_success=None if in_progress else not failed,
        used_tools=list(tools) or None,
        **report,
    )
    _print_sent(task, as_json)


def _send_all(configuration: Configuration, agent_id: str | None, lines: Iterable[str]) -> Iterator[Task]:
    backend = Backend(configuration)
    number = 0
    try:
        for number, line in enumerate(lines, start=1):  # noqa: B007 - told below
            if line.strip():
                report = _json_of(line, "it")
                if not isinstance(report, dict):
                    raise ValueError("it is no JSON object")
                yield backend.report_external_task(**{"agent_id": agent_id, **report})
    except (ValueError, TypeError, errors.ModuleException) as error:
        if isinstance(error, UnicodeDecodeError):
            error = ValueError("it is not UTF-8 text")
            number += 1
        before = f" (the {number - 1} before it are recorded)" if number > 1 else ""
        click.echo(f"stopped at line {number}{before}", err=True)
        if isinstance(error, TypeError):  # an argument that there is none of
            raise ValueError(str(error).removeprefix("Backend.report_external_task() ")) from None
        raise error from None
    if number == 0:
        click.echo("nothing was sent: the file is empty", err=True)


def _json_of(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} is not JSON: {error}") from None


def _agent(configuration: Configuration, agent_id: str | None, how: str) -> str:
    if agent_id is None and not (configuration.agent_id or os.environ.get("XPANDER_AGENT_ID")):
        raise ValueError(f"no agent is named: give {how}, or set XPANDER_AGENT_ID")
    return agent_of(configuration, agent_id=agent_id)


def _print_sent(task: Task, as_json: bool) -> None:
    if as_json:
        _print_json(task)
    else:
        click.echo(f"{_printable(task.id)}: {task.status}")


@main.command()
@click.argument("agent_id", required=False)
@click.option("--user", "user_id", metavar="ID", help="The tasks of a user, in place of an agent's.")
@click.option(
    "--status", type=click.Choice(list(AgentExecutionStatus), case_sensitive=False), help="Only tasks of this status."
)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many at the most.")
@_as_json
@_target
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
        found = Tasks(configuration).list(_agent(configuration, agent_id, "AGENT_ID"), filters, limit=limit)
    if as_json:
        for item in found:
            _print_json(item)
    elif found:
        _print(history_table(found))
        if len(found) == limit:
            click.echo(f"The newest {limit}; --limit shows more.", err=True)
    else:
        click.echo("No tasks.")


@main.command()
@click.argument("task_id")
@_as_json
@_target
def show(configuration: Configuration, as_json: bool, task_id: str) -> None:
    """Show one task, the provider's response included."""
    task = Task.load(task_id, configuration)
    if as_json:
        _print_json(task)
        return
    _print(_pairs(_facts(task)))
    if task.llm_response is not None:
        click.echo("\nllm_response:")
        click.echo(_printable(json.dumps(task.llm_response, ensure_ascii=False, indent=2)))


@main.command()
@click.argument("agent_id", required=False)
@click.option("--since", metavar="TIME", help="Only tasks first seen at this time or later: ISO 8601, UTC by default.")
@click.option("--until", metavar="TIME", help="Only tasks first seen before this time.")
@_as_json
@_target
def metrics(
    configuration: Configuration, as_json: bool, agent_id: str | None, since: str | None, until: str | None
) -> None:
    """Show what the runs of an agent add up to. Default of AGENT_ID: XPANDER_AGENT_ID."""
    found = Backend(configuration).metrics(_agent(configuration, agent_id, "AGENT_ID"), since, until)
    if as_json:
        _print_json(found)
    else:
        _print(metrics_table(found))


@main.command()
@click.option("--agent-id", metavar="ID", help="An agent to look for. Default: XPANDER_AGENT_ID.")
@_as_json
@_target
def doctor(configuration: Configuration, as_json: bool, agent_id: str | None) -> None:
    """Look at each step on the way of a report, and explain what is wrong. Exit code 1 if anything is."""
    from xpander_sdk.doctor import examine

    is_well = True
    for finding in examine(configuration, agent_id):
        is_well = is_well and finding.state != "failed"
        if as_json:
            _print_json(finding)
        else:
            mark = {"ok": "ok     ", "failed": "FAILED ", "skipped": "-      "}[finding.state]
            click.echo(f"{mark} {finding.check + ':':14} {_printable(finding.told)}")
    sys.exit(0 if is_well else REFUSED)


@main.command()
@click.option(
    "--store",
    envvar="XPANDER_STORE",
    metavar="URL",
    default="sqlite:///xpander.db",
    show_default=True,
    help="Where to keep tasks: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE. Default: XPANDER_STORE.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8100, show_default=True, help="0 for any that is free.")
@click.option(
    "--api-key",
    envvar="XPANDER_API_KEY",
    metavar="KEY",
    help="A key that shall be let in. Default: XPANDER_API_KEY, else the keys of the store; where it has none, one is "
    "made and shown once.",
)
@click.option(
    "--organization-id",
    envvar="XPANDER_ORGANIZATION_ID",
    metavar="ID",
    help="The organisation of that key. Default: XPANDER_ORGANIZATION_ID, else local.",
)
def serve(store: str, host: str, port: int, api_key: str | None, organization_id: str | None) -> None:
    """Serve a store over HTTP, to this SDK, the official one, and anything that speaks the contract."""
    try:
        from xpander_server.serve import StoreError
        from xpander_server.serve import serve as serve_store
    except ModuleNotFoundError as missing:
        _fail(f"the server needs {missing.name}: pip install 'xpander-report[server]'", USAGE)

    def started(url: str, made_key: str | None) -> None:
        click.echo(f"Serving {without_password(store)} at {url}")
        if made_key is not None:
            click.echo(f"The store had no API key. This one was made, and is shown this once:\n\n  {made_key}\n")
        sys.stdout.flush()

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        # An empty setting in the environment is none.
        serve_store(
            store,
            host=host,
            port=port,
            api_key=api_key or None,
            organization_id=organization_id or None,
            started=started,
        )
    except (StoreError, ValueError) as error:
        _fail(str(error), USAGE)
    except OSError as error:
        _fail(f"cannot listen at {host}:{port}: {error.strerror}", USAGE)


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
        result = Text(_printable((item.result or "").partition("\n")[0])[:500], no_wrap=True, overflow="ellipsis")
        table.add_row(created, _cell(_folded(item.id)), _status(item.status), result)
    return table


def metrics_table(found: Metrics) -> Table:
    """Metrics, as people read them."""
    runs = found.runs
    rate = "" if found.success_rate is None else f" ({found.success_rate:.1%} of those ended)"
    percentiles = (found.duration.p50, found.duration.p95, found.duration.p99)
    tools = islice(found.tools.items(), 20)
    return _pairs(
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


def _pairs(facts: dict[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, _status(value) if name == "status" else _cell(value))
    return table


def _status(status: str) -> Text:
    return Text(_printable(str(status)), style=_STYLES.get(status, ""))


def _cell(value: str) -> Text:
    # As text, never as rich's markup.
    return Text(_printable(value))


def _folded(text: str, width: int = 40) -> str:
    return "\n".join(text[start : start + width] for start in range(0, len(text), width))


def _printable(text: str) -> str:
    """Text from outside, without what could steer a terminal."""
    return "".join(character if character.isprintable() or character == "\n" else "�" for character in text)


def _print(table: Table) -> None:
    Console().print(table)


def _print_json(value: object) -> None:
    click.echo(json.dumps(jsonable(value), ensure_ascii=True))


def run() -> None:
    """The entry point."""
    main(prog_name="xpander-report")


if __name__ == "__main__":
    run()
