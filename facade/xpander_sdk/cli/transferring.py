"""Commands that bring runs in from files, and put them out into one."""

import asyncio
import gzip
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager, nullcontext, suppress
from typing import IO, Any

import click
from attrs import frozen
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from xpander_sdk import Configuration, ModuleException
from xpander_sdk.cli.common import REFUSED, as_json_option, cell, print_json, print_table, printable, target
from xpander_sdk.cli.wanted import Wanted, wanted_options
from xpander_sdk.import_export.checkpoint import Checkpoint, Counts
from xpander_sdk.import_export.exporter import load_tasks
from xpander_sdk.import_export.importer import Stopped, import_runs
from xpander_sdk.import_export.reader import ContentChanged, Format, Position, UnreadableEntry, open_binary, open_runs

INTERRUPTED = 130
_IN_FLIGHT = 32


@frozen
class _Imported:
    file: str
    format: str
    recorded: int
    rejected: int
    already: int
    seconds: float


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--agent-id", metavar="ID", help="The agent of runs that name none. Default: XPANDER_AGENT_ID.")
@click.option(
    "--format",
    type=click.Choice(["jsonl", "otlp"]),
    help="jsonl: a JSON object a line, with the arguments of report_external_task, or a task as export writes it. "
    "otlp: traces in OTLP JSON. Default: what the file looks like.",
)
@click.option(
    "--in-flight", type=click.IntRange(1, 256), default=_IN_FLIGHT, show_default=True, help="Reports at the same time."
)
@click.option("--restart", is_flag=True, help="Begin anew where an import was broken off, in place of going on.")
@as_json_option
@target
def import_(
    configuration: Configuration,
    as_json: bool,
    files: tuple[str, ...],
    agent_id: str | None,
    format: Format | None,
    in_flight: int,
    restart: bool,
) -> None:
    """Record runs from files: plain or gzipped, - for standard input. Old times are kept.

    What is imported twice is recorded once. An import that was broken off goes on where it was, by the same command.
    What is refused goes to FILE.rejected.jsonl, with line and reason; then the exit code is 1.
    """
    named = agent_id or configuration.agent_id or os.environ.get("XPANDER_AGENT_ID") or None
    done: list[_Imported] = []
    try:
        for path in files:
            done.append(_import_file(configuration, path, named, format, in_flight, restart))  # noqa: PERF401 - kept if one fails
    finally:
        _print_summary(done, as_json)
    sys.exit(REFUSED if any(one.rejected for one in done) else 0)


def _import_file(
    configuration: Configuration,
    path: str,
    agent_id: str | None,
    format: Format | None,
    in_flight: int,
    restart: bool,
) -> _Imported:
    began = time.monotonic()
    beside = "stdin" if path == "-" else path
    purpose = {
        "base_url": configuration.target,
        "organization_id": configuration.organization_id,
        "agent_id": agent_id,
        "format": format,
    }
    side_files = Checkpoint(None if path == "-" else path, beside, purpose)
    with _broken_off(path, side_files):
        if restart:
            side_files.restart()
        place = side_files.resume()
        already = side_files.counts.recorded + side_files.counts.rejected
        try:
            found_format = _send(configuration, path, format, place, side_files, agent_id, in_flight)
        except ContentChanged:
            # Another file of the same name.
            side_files.restart()
            already = 0
            found_format = _send(configuration, path, format, None, side_files, agent_id, in_flight)
        side_files.finish()
    counts = side_files.counts
    return _Imported(path, found_format, counts.recorded, counts.rejected, already, time.monotonic() - began)


def _send(
    configuration: Configuration,
    path: str,
    format: Format | None,
    place: Position | None,
    side_files: Checkpoint,
    agent_id: str | None,
    in_flight: int,
) -> Format:
    raw = open_binary(path)
    # To close standard input, one would have to wait until it says something more.
    with nullcontext() if path == "-" else raw, _progress(path, raw) as tell:
        read, found = open_runs(raw, format, agent_id)
        entries = read.entries(place)
        asyncio.run(import_runs(configuration, entries, side_files, in_flight=in_flight, settled=tell))
    return found


@contextmanager
def _broken_off(path: str, side_files: Checkpoint) -> Iterator[None]:
    """Says what is done where an import does not come to its end."""
    try:
        yield
    except (Stopped, UnreadableEntry, KeyboardInterrupt) as cause:
        counts = side_files.counts
        told = f"{_shown(path)} is not done: so far, {counts.recorded:,} recorded, {counts.rejected:,} refused"
        click.echo(told + ("" if path == "-" else "; the same command goes on there"), err=True)
        if isinstance(cause, KeyboardInterrupt):
            sys.exit(INTERRUPTED)
        if isinstance(cause, UnreadableEntry):
            raise ValueError(f"{_shown(path)} {cause}") from None
        raise cause.error from None
    except OSError as error:
        raise ValueError(f"{printable(str(error.filename or path))}: {error.strerror or error}") from None


@click.command()
@click.option("-o", "--output", metavar="FILE", help="Where to. Gzipped, if it ends in .gz. Default: standard output.")
@click.option(
    "--in-flight", type=click.IntRange(1, 256), default=_IN_FLIGHT, show_default=True, help="Requests at the same time."
)
@target
@wanted_options
def export(configuration: Configuration, wanted: Wanted, output: str | None, in_flight: int) -> None:
    """Write the tasks of an agent, whole, a JSON object a line, newest first: `import` reads them again.

    Default of AGENT_ID: XPANDER_AGENT_ID. FILE is there only once it is complete.
    """
    try:
        written = asyncio.run(_export(configuration, wanted, output, in_flight))
    except KeyboardInterrupt:
        click.echo("interrupted: the export is not complete", err=True)
        sys.exit(INTERRUPTED)
    except OSError as error:
        if isinstance(error, BrokenPipeError | ModuleException):
            raise
        raise ValueError(f"{printable(output or 'standard output')}: {error.strerror}") from None
    if output is not None:
        click.echo(f"{written:,} tasks in {printable(output)}", err=True)


async def _export(configuration: Configuration, wanted: Wanted, output: str | None, in_flight: int) -> int:
    written = 0
    with _output(output) as file, _count("tasks") as tell:
        async with aclosing(load_tasks(wanted.aitems(configuration), in_flight)) as tasks:
            async for task in tasks:
                file.write(json.dumps(task.to_dict(), ensure_ascii=True).encode("ascii") + b"\n")
                written += 1
                tell(written)
    return written


@contextmanager
def _output(path: str | None) -> Iterator[IO[bytes]]:
    if path is None:
        yield sys.stdout.buffer
        return
    unfinished = f"{path}.part"
    try:
        opened: Callable[..., Any] = gzip.open if path.endswith(".gz") else open
        with opened(unfinished, "wb") as file:
            yield file
        os.replace(unfinished, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.remove(unfinished)
        raise


@contextmanager
def _count(what: str) -> Iterator[Callable[[int], None]]:
    """Shows how many there are so far, at a terminal that the lines do not go to."""
    console = Console(stderr=True)
    if not console.is_terminal or sys.stdout.isatty():
        yield lambda count: None
        return
    with console.status("") as status:
        yield lambda count: status.update(f"{count:,} {what}")


@contextmanager
def _progress(path: str, raw: IO[bytes]) -> Iterator[Any]:
    """Shows how far it is, at a terminal; gives what is to be told of it."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda place, counts: None
        return
    size = None if path == "-" else os.path.getsize(path)
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[told]}", markup=False),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
        shown = progress.add_task(_shown(path), total=size, told="")

        def tell(place: Position, counts: Counts) -> None:
            told = f"{counts.recorded:,} recorded" + (f", {counts.rejected:,} refused" if counts.rejected else "")
            # In bytes as they are on the disk.
            progress.update(shown, completed=raw.tell() if size is not None else None, told=told)

        yield tell


def _print_summary(done: list[_Imported], as_json: bool) -> None:
    if as_json:
        for one in done:
            print_json(one)
        return
    if not done:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("file", overflow="fold")
    for name in ("recorded", "refused", "of these before", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in done:
        numbers = (f"{one.recorded:,}", f"{one.rejected:,}", f"{one.already:,}", f"{one.seconds:.1f}")
        table.add_row(cell(one.file), *numbers)
    print_table(table)
    for one in done:
        if one.rejected:
            beside = "stdin" if one.file == "-" else one.file
            click.echo(f"What was refused is in {_shown(beside)}.rejected.jsonl, with reasons.", err=True)


def _shown(path: str) -> str:
    return "standard input" if path == "-" else printable(os.fspath(path))
