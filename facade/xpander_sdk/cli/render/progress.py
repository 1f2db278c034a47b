"""Progress bars and counters on standard error, only if it is a terminal."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from xpander_sdk.cli.render.text import printable


@contextmanager
def file_progress(path: str, file: IO[bytes]) -> Iterator[Callable[[str], None]]:
    """Show how much of a file is read; yield a function that sets the text behind the bar.

    Args:
        path: path of the file; `-` for standard input, which has no known size.
        file: the open file. Its position is in bytes on the disk, before decompression.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda text: None
        return
    size = None if path == "-" else os.path.getsize(path)
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[counts]}", markup=False),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(display_path(path), total=size, counts="")

        def update(counts: str) -> None:
            progress.update(bar, completed=file.tell() if size is not None else None, counts=counts)

        yield update


@contextmanager
def counter(noun: str) -> Iterator[Callable[[int], None]]:
    """Show a count; yield a function that sets it.

    Nothing is shown if standard output is a terminal too, because the lines of output would interleave with the count.
    """
    console = Console(stderr=True)
    if not console.is_terminal or sys.stdout.isatty():
        yield lambda count: None
        return
    with console.status("") as status:
        yield lambda count: status.update(f"{count:,} {noun}")


@contextmanager
def delivery_progress(pending: int) -> Iterator[Callable[[int, int], None]]:
    """Show the numbers of delivered and of all reports; yield a function that sets both.

    Args:
        pending: number of reports at the start.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda delivered, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("delivering", total=pending)
        yield lambda delivered, total: progress.update(bar, completed=delivered, total=total)


def display_path(path: str) -> str:
    """Return a path for messages."""
    return "standard input" if path == "-" else printable(path)
