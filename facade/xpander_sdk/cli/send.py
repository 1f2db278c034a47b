"""Command `send`: report one run, or many from a file."""

import json
import os
from collections.abc import Iterator
from contextlib import nullcontext
from typing import IO, Any

import click

from xpander_sdk import Configuration, Task, Tokens, errors
from xpander_sdk.cli.options import backend_options, examples, find_agent_id, json_option, metadata_option
from xpander_sdk.cli.render.output import print_json
from xpander_sdk.cli.render.text import count_noun, printable
from xpander_sdk.import_export.importer import report_of
from xpander_sdk.import_export.reader import Format, open_binary, open_runs
from xpander_sdk.reporting.usage import TOKEN_KINDS


class _Seconds(click.ParamType[float]):
    """Number of seconds."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return float(value)
        except ValueError:
            self.fail(f"a duration must be a number of seconds, got {value!r}; write 4.7", param, ctx)


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
@click.option("--duration", type=_Seconds(), metavar="SECONDS", help="Duration of the run.")
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
    "path",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Report many runs from a file that import accepts (- for standard input), compressed with gzip or not: JSON "
    "lines with the arguments of report_external_task or with tasks as written by export, or OTLP traces. The command "
    "stops at the first line that fails, and prints its number. --agent-id is the agent of runs without agent_id; the "
    "other options of a run are not allowed.",
)
@click.option(
    "--format", type=click.Choice(["jsonl", "otlp"]), help="Format of the file. Default: detected from the first bytes."
)
@json_option
@backend_options
def send(
    configuration: Configuration,
    as_json: bool,
    path: str | None,
    format: Format | None,
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
    if path is not None:
        if failed or in_progress or llm_response or tools or any(value is not None for value in report.values()):
            raise ValueError(
                "with --from, only --agent-id and --format are allowed; put the other values into the lines of the file"
            )
        for task in _report_file(configuration, agent_id, path, format):
            _print_task(task, as_json)
        return
    if format is not None:
        raise ValueError("--format is the format of the file of --from, which is missing; pass --from FILE")
    if (agent_id := find_agent_id(configuration, agent_id)) is None:
        raise ValueError("the agent is missing; pass --agent-id, or set XPANDER_AGENT_ID")
    if llm_response is not None:
        report["llm_response"] = _parse_json(llm_response.read(), llm_response.name)
    task = Task.report_external_task(
        configuration=configuration,
        agent_id=agent_id,
        is_success=None if in_progress else not failed,
        used_tools=list(tools) or None,
        **report,
    )
    _print_task(task, as_json)


def _report_file(
    configuration: Configuration, agent_id: str | None, path: str, format: Format | None
) -> Iterator[Task]:
    """Report the runs of a file one after another, and yield their tasks; stop at the first one that fails."""
    agent_id = agent_id or configuration.agent_id or os.environ.get("XPANDER_AGENT_ID") or None
    line, count = 1, 0
    file = open_binary(path)
    # Standard input stays open: closing it would wait for the thread that reads it.
    with nullcontext() if path == "-" else file:
        try:
            reader, _ = open_runs(file, format, agent_id)
            for entry in reader.entries(None):
                line = entry.line
                if entry.problem is not None:
                    raise ValueError(entry.problem)
                if entry.record is not None:
                    yield Task._send_report(configuration, report_of(entry.record))
                    count += 1
        except (ValueError, errors.ModuleException):
            recorded = f"; {count_noun(count, 'run')} before it recorded" if count else ""
            click.echo(f"stopped at line {line}{recorded}", err=True)
            raise
    if reader.ignored:
        click.echo(reader.ignored, err=True)
    if count == 0:
        click.echo("nothing was sent: the file has no runs", err=True)


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
