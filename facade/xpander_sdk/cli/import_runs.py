"""Command `import`: report the runs of files."""

import asyncio
import hashlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import click
from attrs import frozen

from xpander_sdk import Configuration
from xpander_sdk.cli.exit_codes import INTERRUPTED, REJECTED
from xpander_sdk.cli.options import backend_options, examples, in_flight_option, json_option
from xpander_sdk.cli.render.output import new_table, print_json, print_table
from xpander_sdk.cli.render.progress import display_path, file_progress
from xpander_sdk.cli.render.text import plain_text, printable
from xpander_sdk.import_export.checkpoint import Checkpoint, Counts
from xpander_sdk.import_export.entries import ContentChanged, Position, SourceTooLarge, UnreadableSource
from xpander_sdk.import_export.importer import ImportStopped, import_runs
from xpander_sdk.import_export.reader import Format, open_binary, open_runs


@frozen
class _Settings:
    configuration: Configuration
    agent_id: str | None
    format: Format | None
    in_flight: int
    is_restart: bool
    state_folder: str | None


@frozen
class _Summary:
    """Result of one file. The names of the attributes are the keys of `--json`.

    Attributes:
        already: entries that a previous, interrupted import had finished.
        rejected_path: list of the rejected entries; None if there are none.
        listed: number of entries in that list.
        ignored: sentence about contents that are no runs; None if there are none.
    """

    file: str
    format: str
    recorded: int
    rejected: int
    already: int
    seconds: float
    rejected_path: str | None
    listed: int
    ignored: str | None


@click.command(
    "import",
    epilog=examples(
        "xpander-report import runs.jsonl more.jsonl.gz traces.json",
        "producer | xpander-report import - --agent-id agent-123",
    ),
)
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--agent-id", metavar="ID", help="Agent of runs without agent_id. [env: XPANDER_AGENT_ID]")
@click.option(
    "--format",
    type=click.Choice(["jsonl", "otlp"]),
    help="jsonl: each line is a JSON object, either with the arguments of report_external_task or a task as written by "
    "export. otlp: traces in OTLP JSON. Default: detected from the first bytes.",
)
@in_flight_option
@click.option("--restart", is_flag=True, help="Start from the first line instead of resuming an interrupted import.")
@click.option(
    "--state-dir",
    metavar="DIR",
    help="Folder for the progress and the rejected lines; it is created. Default: next to each FILE.",
)
@json_option
@backend_options
def import_files(
    configuration: Configuration,
    as_json: bool,
    files: tuple[str, ...],
    agent_id: str | None,
    format: Format | None,
    in_flight: int,
    restart: bool,
    state_dir: str | None,
) -> None:
    """Report runs from JSON lines or OTLP traces.

    FILES may be compressed with gzip; - is standard input. Runs keep their original times. A file that is imported
    twice creates no duplicates. After an interruption, the same command resumes. Rejected lines are written to
    FILE.rejected.jsonl with their reasons, at most 10,000 of them; the exit code is 1 then.
    """
    agent_id = agent_id or configuration.agent_id or os.environ.get("XPANDER_AGENT_ID") or None
    settings = _Settings(configuration, agent_id, format, in_flight, restart, state_dir)
    summaries: list[_Summary] = []
    try:
        for path in files:
            summaries.append(_import_file(settings, path))  # noqa: PERF401 - a failure must not discard the others
    finally:
        _print_summaries(summaries, as_json)
    sys.exit(REJECTED if any(summary.rejected for summary in summaries) else 0)


def _import_file(settings: _Settings, path: str) -> _Summary:
    start = time.monotonic()
    checkpoint = _checkpoint(settings, path)
    with _messages_on_failure(path, checkpoint):
        checkpoint.prepare()
        if settings.is_restart:
            checkpoint.restart()
        position = checkpoint.resume()
        already = checkpoint.counts.recorded + checkpoint.counts.rejected
        try:
            file_format, ignored = _report_entries(settings, path, position, checkpoint)
        except ContentChanged:
            # Another file has the same name and the same first bytes.
            checkpoint.restart()
            already = 0
            file_format, ignored = _report_entries(settings, path, None, checkpoint)
        checkpoint.finish()
    counts = checkpoint.counts
    seconds = time.monotonic() - start
    rejected_path = checkpoint.rejected_path if counts.rejected else None
    return _Summary(
        path, file_format, counts.recorded, counts.rejected, already, seconds, rejected_path, checkpoint.listed, ignored
    )


def _checkpoint(settings: _Settings, path: str) -> Checkpoint:
    identity = {
        "base_url": settings.configuration.target,
        "organization_id": settings.configuration.organization_id,
        "agent_id": settings.agent_id,
        "format": settings.format,
    }
    prefix = "stdin" if path == "-" else path
    if settings.state_folder is not None:
        # With a digest of the path: files of several folders may have the same name.
        digest = hashlib.blake2b(os.fsencode(os.path.abspath(path)), digest_size=4).hexdigest()
        prefix = os.path.join(settings.state_folder, os.path.basename(prefix) + ("" if path == "-" else f"-{digest}"))
    return Checkpoint(None if path == "-" else path, prefix, identity, settings.state_folder is not None)


def _report_entries(
    settings: _Settings, path: str, after: Position | None, checkpoint: Checkpoint
) -> tuple[Format, str | None]:
    """Report the entries of a file; return its format, and a sentence about contents that are no runs."""
    file = open_binary(path)
    # Standard input stays open: closing it would wait for the thread that reads it.
    with nullcontext() if path == "-" else file, file_progress(path, file) as show_progress:
        reader, file_format = open_runs(file, settings.format, settings.agent_id)
        asyncio.run(
            import_runs(
                settings.configuration,
                reader.entries(after),
                checkpoint,
                in_flight=settings.in_flight,
                on_progress=lambda counts: show_progress(_counts_text(counts)),
            )
        )
    return file_format, reader.ignored


@contextmanager
def _messages_on_failure(path: str, checkpoint: Checkpoint) -> Iterator[None]:
    """Print the counts of an import that fails, and convert its error for the exit code."""
    try:
        yield
    except (ImportStopped, UnreadableSource, KeyboardInterrupt) as error:
        counts = checkpoint.counts
        message = (
            f"import of {display_path(path)} is incomplete: {counts.recorded:,} recorded, {counts.rejected:,} rejected"
        )
        can_resume = path != "-" and not isinstance(error, SourceTooLarge)
        click.echo(message + ("; run the same command again to resume" if can_resume else ""), err=True)
        if isinstance(error, KeyboardInterrupt):
            sys.exit(INTERRUPTED)
        if isinstance(error, UnreadableSource):
            raise ValueError(f"{display_path(path)} {error}") from None
        raise error.error from None
    except OSError as error:
        name = str(error.filename or path)
        advice = "" if name == path else "; --state-dir names another folder for progress and rejected lines"
        raise ValueError(f"{printable(name)}: {error.strerror or error}{advice}") from None


def _counts_text(counts: Counts) -> str:
    return f"{counts.recorded:,} recorded" + (f", {counts.rejected:,} rejected" if counts.rejected else "")


def _print_summaries(summaries: list[_Summary], as_json: bool) -> None:
    if as_json:
        for summary in summaries:
            print_json(summary)
        return
    if not summaries:
        return
    table = new_table()
    table.add_column("file", overflow="fold")
    for name in ("recorded", "rejected", "done before", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for summary in summaries:
        numbers = (f"{summary.recorded:,}", f"{summary.rejected:,}", f"{summary.already:,}", f"{summary.seconds:.1f}")
        table.add_row(plain_text(summary.file), *numbers)
    print_table(table)
    for summary in summaries:
        if summary.ignored:
            click.echo(f"{display_path(summary.file)}: {summary.ignored}", err=True)
        if summary.rejected_path is not None:
            name, path = display_path(summary.file), printable(summary.rejected_path)
            first = f"First {summary.listed:,} rejected" if summary.listed < summary.rejected else "Rejected"
            click.echo(f"{first} lines of {name}, with reasons: {path}", err=True)
