"""Command `send`: report one run, or many from a file."""

import json
from collections.abc import Iterable, Iterator
from typing import IO, Any

import click
from attrs import evolve

from xpander_sdk import Configuration, Task, Tokens, errors
from xpander_sdk.cli.options import backend_options, examples, json_option, metadata_option, require_agent_id
from xpander_sdk.cli.render.output import print_json
from xpander_sdk.cli.render.text import printable
from xpander_sdk.import_export.importer import report_of
from xpander_sdk.import_export.jsonl import parse_record
from xpander_sdk.reporting.usage import TOKEN_KINDS


@click.command(
    epilog=examples(
        'xpander-report send --agent-id agent-123 --id run-1 --result "Up 22%" --duration 4.7 --tool web_search',
        "xpander-report send --from runs.jsonl",
    )
)
@click.option("--agent-id", metavar="ID", help="Agent that executed the run. [env: XPANDER_AGENT_ID]")
@click.option("--id", "id", metavar="ID", help="Id of the run. Default: a new random id.")
@click.option("--input", "input", metavar="TEXT", help="Text that the agent received.")
@click.option("--result", metavar="TEXT", help="Final answer of the agent.")
@click.option("--llm-response", type=click.File(encoding="utf-8-sig"), help="JSON file with the provider's response.")
@click.option("--prompt-tokens", type=int, help="Number of tokens that the model read.")
@click.option("--completion-tokens", type=int, help="Number of tokens that the model wrote.")
@click.option("--cache-read-tokens", type=int, help="Number of tokens read from the provider's cache.")
@click.option("--cache-write-tokens", type=int, help="Number of tokens written to the provider's cache.")
@click.option("--duration", type=float, metavar="SECONDS", help="Duration of the run.")
@click.option("--tool", "tools", metavar="NAME", multiple=True, help="Tool that the run called. Repeatable.")
@click.option("--error", metavar="TEXT", help="Why the run failed. It does not change the status; use --failed.")
@click.option("--user", "user_id", metavar="ID", help="User for whom the agent ran.")
@click.option("--conversation", "conversation_id", metavar="ID", help="Conversation that the run belongs to.")
@click.option("--parent-task", "parent_task_id", metavar="ID", help="Run that started this one.")
@metadata_option("Pair to store with the run. Repeatable.")
@click.option("--failed", is_flag=True, help="The run failed.")
@click.option("--in-progress", is_flag=True, help="The run has not ended yet.")
@click.option(
    "--from",
    "reports",
    type=click.File(encoding="utf-8-sig"),
    help="Report many runs from a file (- for standard input). Each line is a JSON object with the arguments of "
    "report_external_task, or a task as written by export. The command stops at the first line that fails, and prints "
    "its number. "
    "--agent-id is the agent of lines without agent_id; the other options of a run are not allowed.",
)
@json_option
@backend_options
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
    """Report one run, or many from a file.

    A report with the id of a known run updates its task. Fields that the report does not contain keep their values,
    except the status: without --failed or --in-progress, the task becomes completed.
    """
    if failed and in_progress:
        raise ValueError("a run must be either failed or in progress, got both; pass only --failed or --in-progress")
    tokens = {kind: report.pop(kind) for kind in TOKEN_KINDS}
    if any(count is not None for count in tokens.values()):
        report["tokens"] = Tokens(**{kind: count or 0 for kind, count in tokens.items()})
    if reports is not None:
        if failed or in_progress or llm_response or tools or any(value is not None for value in report.values()):
            raise ValueError("with --from, only --agent-id is allowed; put the other values into the lines of the file")
        for task in _report_lines(configuration, agent_id, reports):
            _print_task(task, as_json)
        return
    if llm_response is not None:
        report["llm_response"] = _parse_json(llm_response.read(), llm_response.name)
    task = Task.report_external_task(
        configuration=configuration,
        agent_id=require_agent_id(configuration, agent_id, "--agent-id"),
        is_success=None if in_progress else not failed,
        used_tools=list(tools) or None,
        **report,
    )
    _print_task(task, as_json)


def _report_lines(configuration: Configuration, agent_id: str | None, lines: Iterable[str]) -> Iterator[Task]:
    number = 0
    try:
        for number, line in enumerate(lines, start=1):  # noqa: B007 - used below the loop
            if line.strip():
                record = parse_record(_parse_json(line, "the line"))
                if record.agent_id is None:
                    record = evolve(record, agent_id=require_agent_id(configuration, agent_id, "--agent-id"))
                yield Task._send_report(configuration, report_of(record))
    except (ValueError, errors.ModuleException) as error:
        if isinstance(error, UnicodeDecodeError):
            # The line could not be read, so the loop has not counted it.
            error = ValueError("the line must be UTF-8")
            number += 1
        recorded = f"; all {number - 1} lines before it are recorded" if number > 1 else ""
        click.echo(f"stopped at line {number}{recorded}", err=True)
        raise error from None
    if number == 0:
        click.echo("nothing was sent: the file is empty", err=True)


def _parse_json(text: str, source: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source} must be JSON: {error}") from None


def _print_task(task: Task, as_json: bool) -> None:
    if as_json:
        print_json(task)
    else:
        click.echo(f"{printable(task.id)}: {task.status}")
