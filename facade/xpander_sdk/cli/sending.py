"""Commands that record runs."""

import json
from collections.abc import Iterable, Iterator
from typing import IO, Any

import click

from xpander_sdk import Backend, Configuration, Task, Tokens, errors
from xpander_sdk.cli.common import agent_named, as_json_option, print_json, printable, target
from xpander_sdk.reporting.tokens import TOKEN_KINDS


@click.command()
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
@as_json_option
@target
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
    tokens = {kind: report.pop(kind) for kind in TOKEN_KINDS}
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
        agent_id=agent_named(configuration, agent_id, "--agent-id"),
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


def _print_sent(task: Task, as_json: bool) -> None:
    if as_json:
        print_json(task)
    else:
        click.echo(f"{printable(task.id)}: {task.status}")
