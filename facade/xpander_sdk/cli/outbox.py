"""Commands that look into the outbox, and empty it."""

import json
import sys
import threading
import time
from datetime import UTC, datetime

import click
from attrs import asdict
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from xpander_sdk import ModuleException, Outbox, OutboxSettings
from xpander_sdk.cli.common import (
    TRY_AGAIN,
    USAGE,
    as_json_option,
    cell,
    fail,
    pairs,
    print_json,
    print_table,
    printable,
)
from xpander_sdk.outbox.registry import outbox_at
from xpander_sdk.outbox.storage.models import DeadLetter, Destination, OutboxStats

_ROUND_SECONDS = 5.0


@click.group()
@click.option("--file", metavar="PATH", help="The outbox. Default: XPANDER_OUTBOX, else the user's own.")
@click.pass_context
def outbox(context: click.Context, file: str | None) -> None:
    """Reports that wait on this machine until a backend has them."""
    try:
        context.obj = outbox_at(OutboxSettings(file=file).path)
        context.obj.stats()  # a file that cannot be used is told here, once for all commands
    except (ModuleException, ValueError) as error:
        fail(str(error), USAGE)


@outbox.command()
@as_json_option
@click.pass_obj
def status(queue: Outbox, as_json: bool) -> None:
    """Show the books: accepted = delivered + pending + dead + dropped."""
    stats = queue.stats()
    if as_json:
        print_json({"file": queue.path, **asdict(stats)})
        return
    print_table(pairs(_facts(queue, stats)))
    for target in stats.targets:
        if target.trouble is not None:
            tries = f"{target.failures} failures in a row, next try {_moment(target.next_at)}"
            click.echo(f"\n{printable(target.base_url)} ({tries}):\n  {printable(target.trouble)}")


@outbox.command()
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many at the most.")
@as_json_option
@click.pass_obj
def dead(queue: Outbox, limit: int, as_json: bool) -> None:
    """List the reports that a backend refused for good, newest first, with its answer. --json shows them whole."""
    letters = queue.dead(limit)
    if as_json:
        for letter in letters:
            print_json({**asdict(letter), "body": json.loads(letter.body)})
    elif letters:
        print_table(_letters(letters))
        click.echo("\nDeliver them again with `outbox retry`, or give them up with `outbox discard`.", err=True)
    else:
        click.echo("No dead letters.")


@outbox.command()
@click.argument("numbers", type=int, nargs=-1)
@click.pass_obj
def retry(queue: Outbox, numbers: tuple[int, ...]) -> None:
    """Let dead letters be delivered again, all or by NUMBERS, and end all waits."""
    click.echo(f"{queue.retry(list(numbers) or None)} dead letters wait for delivery again.")


@outbox.command()
@click.argument("numbers", type=int, nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.pass_obj
def discard(queue: Outbox, numbers: tuple[int, ...], everything: bool) -> None:
    """Give dead letters up: those of these NUMBERS, or --all."""
    if bool(numbers) == everything:
        fail("name the NUMBERS of dead letters, or --all", USAGE)
    click.echo(f"{queue.discard(None if everything else list(numbers))} dead letters were discarded.")


@outbox.command()
@click.option("--watch", is_flag=True, help="Go on for ever, and deliver what comes.")
@click.option(
    "--deadline", type=click.FloatRange(min=0), metavar="SECONDS", help="Stop then. Default: when all is done."
)
@click.option(
    "--any-key",
    is_flag=True,
    help="Send with XPANDER_API_KEY what was meant for a key that is not known here. For a key that was changed: make "
    "sure that the new one belongs to the same organisation.",
)
@click.pass_obj
def drain(queue: Outbox, watch: bool, deadline: float | None, any_key: bool) -> None:
    """Deliver what waits, until nothing does or no more can be. The key is read from XPANDER_API_KEY.

    Exit code 75 where something still waits.
    """
    ends = None if deadline is None else time.monotonic() + deadline
    if any_key:
        queue.use_any_key()
    before = queue.stats()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("delivering", total=before.pending)
        while True:
            now = queue.stats()
            settled = _settled(now)
            left = _ROUND_SECONDS if ends is None else max(0.0, min(_ROUND_SECONDS, ends - time.monotonic()))
            one_round = threading.Thread(target=queue.drain, args=(left,), daemon=True)
            one_round.start()
            while one_round.is_alive():
                one_round.join(0.2)
                now = queue.stats()
                done = _settled(now) - _settled(before)
                progress.update(bar, completed=done, total=done + now.pending)
            if ends is not None and time.monotonic() >= ends:
                break
            if not now.pending and not watch:
                break
            if _settled(now) == settled:
                if not watch:
                    break
                time.sleep(1)
    _tell(queue, before)


def _settled(stats: OutboxStats) -> int:
    return stats.accepted - stats.pending


def _tell(queue: Outbox, before: OutboxStats) -> None:
    after = queue.stats()
    click.echo(
        f"{after.delivered - before.delivered:,} delivered, {after.pending:,} wait, {after.dead:,} dead letters."
    )
    for target in after.targets:
        if reason := _reason(queue, target):
            click.echo(printable(f"{target.base_url}: {reason}"), err=True)
    sys.exit(TRY_AGAIN if after.pending else 0)


def _reason(queue: Outbox, target: Destination) -> str | None:
    if not queue.is_waiting_for(target):
        return None
    if not queue.has_key_for(target):
        return "its key is not known here; set XPANDER_API_KEY to the one that these reports were made with"
    return target.trouble


def _facts(queue: Outbox, stats: OutboxStats) -> dict[str, str]:
    dropped = ", ".join(f"{amount:,} {reason}" for reason, amount in stats.dropped.items())
    return {
        "outbox": queue.path,
        "accepted": f"{stats.accepted:,}",
        "delivered": f"{stats.delivered:,} ({stats.merged:,} of them as a part of a later report)",
        "pending": f"{stats.pending:,} ({stats.pending_bytes / 1e6:,.1f} MB)",
        "oldest": "–" if stats.oldest is None else _moment(stats.oldest),
        "dead": f"{stats.dead:,}",
        "dropped": dropped or "0",
    }


def _letters(letters: list[DeadLetter]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("number", no_wrap=True, justify="right")
    table.add_column("refused (UTC)", no_wrap=True)
    table.add_column("agent")
    table.add_column("task")
    table.add_column("answer", overflow="fold")
    for letter in letters:
        died = _moment(letter.died_at)
        table.add_row(str(letter.seq), died, cell(letter.agent_id), cell(letter.task_id), cell(letter.answer))
    return table


def _moment(microseconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(microseconds / 1e6, UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):  # of a clock that was far off
        return str(microseconds)
