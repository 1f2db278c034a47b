"""Command `export`: write tasks to a file."""

import asyncio
import gzip
import json
import os
import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from typing import IO, cast

import click

from xpander_sdk import Configuration, ModuleException
from xpander_sdk.cli.exit_codes import INTERRUPTED
from xpander_sdk.cli.options import examples, in_flight_option, reading_backend_options
from xpander_sdk.cli.render.progress import counter
from xpander_sdk.cli.render.text import count_noun, printable
from xpander_sdk.cli.task_selection import TaskSelection, selection_options
from xpander_sdk.import_export.exporter import load_tasks
from xpander_sdk.import_export.private_files import replace_private


@click.command(
    epilog=examples(
        "xpander-report export agent-123 -o runs.jsonl.gz",
        "xpander-report export agent-123 --since 2026-01-01 | jq .result",
    )
)
@click.option("-o", "--output", metavar="FILE", help="File to write; compressed if it ends in .gz. Default: stdout.")
@in_flight_option
@reading_backend_options
@selection_options
def export(configuration: Configuration, selection: TaskSelection, output: str | None, in_flight: int) -> None:
    """Write tasks to a file as JSON lines.

    Each line is a complete task, newest first. The command `import` reads the file. FILE appears when it is complete;
    only its owner can read it.
    AGENT_ID defaults to XPANDER_AGENT_ID. If neither is given, nor --user, the tasks of all agents are written.
    """
    try:
        count = asyncio.run(_export(configuration, selection, output, in_flight))
    except KeyboardInterrupt:
        click.echo("interrupted: the export is incomplete", err=True)
        sys.exit(INTERRUPTED)
    except OSError as error:
        if isinstance(error, BrokenPipeError | ModuleException):
            raise
        raise ValueError(f"cannot write {printable(output or 'to standard output')}: {error.strerror}") from None
    if output is not None:
        click.echo(f"Exported {count_noun(count, 'task')} to {printable(output)}.", err=True)


async def _export(configuration: Configuration, selection: TaskSelection, output: str | None, in_flight: int) -> int:
    count = 0
    with _open_output(output) as file, counter("tasks") as show_count:
        async with aclosing(load_tasks(selection.aiterate(configuration), in_flight)) as tasks:
            async for task in tasks:
                file.write(json.dumps(task.to_dict(), ensure_ascii=True).encode("ascii") + b"\n")
                count += 1
                show_count(count)
    return count


@contextmanager
def _open_output(path: str | None) -> Iterator[IO[bytes]]:
    """Open a temporary file that gets its final name at the end; or standard output."""
    if path is None:
        yield sys.stdout.buffer
        return
    if os.path.exists(path) and not os.path.isfile(path):  # a device or a pipe, which must not be replaced by a file
        with open(path, "wb") as file:
            yield file
        return
    with replace_private(path) as file:
        if not path.endswith(".gz"):
            yield file
            return
        with gzip.GzipFile(os.path.basename(path), "wb", fileobj=file) as compressed_file:
            yield cast(IO[bytes], compressed_file)
