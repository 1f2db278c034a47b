"""Commands `outbox …`: inspect and empty the outbox."""

import json
import os
import sys
import threading
import time
from datetime import UTC, datetime

import click
from attrs import asdict
from rich.table import Table

from xpander_sdk import Configuration, ModuleException, Outbox, OutboxSettings
from xpander_sdk.cli.exit_codes import TRY_AGAIN, USAGE, fail
from xpander_sdk.cli.options import confirm, examples, json_option, yes_option
from xpander_sdk.cli.render.output import key_value_table, new_table, print_json, print_table
from xpander_sdk.cli.render.progress import delivery_progress
from xpander_sdk.cli.render.text import count_noun, plain_text, printable
from xpander_sdk.outbox.registry import outbox_at
from xpander_sdk.outbox.storage.models import DeadLetter, Destination, OutboxStats

# Seconds. Between two rounds, `outbox drain` decides whether it continues.
_ROUND, _REFRESH, _IDLE = 5.0, 0.2, 1.0


@click.group(
    "outbox",
    epilog=examples(
        "xpander-report outbox status",
        "xpander-report outbox drain --deadline 60",
        "xpander-report outbox --file outbox.db dead",
    ),
)
@click.option(
    "--file", metavar="PATH", help="File of the outbox. [env: XPANDER_OUTBOX; default: in the user's data folder]"
)
@click.pass_context
def outbox(context: click.Context, file: str | None) -> None:
    """Inspect and deliver pending reports.

    The outbox is a file on this machine. It keeps reports until the backend has confirmed them.
    """
    try:
        path = OutboxSettings(file=file).path
        if file is not None and not os.path.exists(path):
            raise ValueError(f"there is no outbox at {path}; programs that report create it")
        context.obj = outbox_at(path)
        # Fails here, for all commands, if the file is not usable.
        context.obj.stats()
    except (ModuleException, ValueError) as error:
        fail(str(error), USAGE)


@outbox.command(epilog=examples("xpander-report outbox status", "xpander-report outbox --file outbox.db status --json"))
@json_option
@click.pass_obj
def status(queue: Outbox, as_json: bool) -> None:
    """Show counters and delivery problems.

    accepted = delivered + pending + dead + dropped
    """
    stats = queue.stats()
    if as_json:
        print_json({"file": queue.path, **asdict(stats)})
        return
    print_table(key_value_table(_counters(queue, stats)))
    for destination in stats.destinations:
        if destination.last_error is not None:
            next_attempt = f"next attempt at {_timestamp(destination.next_attempt_at)}"
            failures = f" ({count_noun(destination.failures, 'consecutive failure')}, {next_attempt})"
            state = failures if destination.failures else ""
            click.echo(f"\n{printable(destination.base_url)}{state}:\n  {printable(destination.last_error)}")


@outbox.command(epilog=examples("xpander-report outbox dead --limit 100"))
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Maximum number of dead letters."
)
@json_option
@click.pass_obj
def dead(queue: Outbox, limit: int, as_json: bool) -> None:
    """List dead letters, newest first.

    A dead letter is a report that the backend has rejected permanently. The list has the backend's response; --json
    adds the report.
    """
    letters = queue.dead(limit)
    if as_json:
        for letter in letters:
            print_json({**asdict(letter), "body": json.loads(letter.body)})
    elif letters:
        print_table(_dead_letters_table(letters))
        click.echo("\nUse `outbox retry` to deliver them again, or `outbox discard` to delete them.", err=True)
    else:
        click.echo("No dead letters.")


@outbox.command(epilog=examples("xpander-report outbox retry", "xpander-report outbox retry 17 18"))
@click.argument("numbers", type=int, nargs=-1)
@click.pass_obj
def retry(queue: Outbox, numbers: tuple[int, ...]) -> None:
    """Return dead letters to the queue.

    NUMBERS are those of `outbox dead`; without NUMBERS, all are returned. All delays before the next attempt end.
    """
    click.echo(f"Returned {count_noun(queue.retry(list(numbers) or None), 'dead letter')} to the queue.")


@outbox.command(
    epilog=examples(
        "xpander-report outbox discard 17",
        "xpander-report outbox discard --all",
        "xpander-report outbox discard --destination http://old-host:8100",
    )
)
@click.argument("numbers", type=int, nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="Delete all dead letters.")
@click.option(
    "--destination", metavar="URL", help="Delete all pending reports and dead letters to this URL, see `outbox status`."
)
@yes_option
@click.pass_obj
def discard(queue: Outbox, numbers: tuple[int, ...], is_all: bool, destination: str | None, yes: bool) -> None:
    """Delete dead letters or the reports to a URL.

    NUMBERS are those of `outbox dead`. With --all, the command asks first.
    """
    if bool(numbers) + is_all + (destination is not None) != 1:
        fail("pass one of the NUMBERS of dead letters, --all and --destination", USAGE)
    if is_all:
        confirm(f"Delete {count_noun(queue.stats().dead, 'dead letter')}?", is_confirmed=yes)
    try:
        if destination is not None:
            click.echo(f"Discarded {count_noun(queue.discard(destination=destination), 'report')}.")
        else:
            click.echo(f"Discarded {count_noun(queue.discard(None if is_all else list(numbers)), 'dead letter')}.")
    except ValueError as error:
        fail(str(error), USAGE)


@outbox.command(
    epilog=examples(
        "xpander-report outbox move --to https://right-host",
        "xpander-report outbox move --destination http://old-host:8100 --to https://right-host",
    )
)
@click.option("--to", metavar="URL", required=True, help="URL of the backend that the reports are for.")
@click.option("--destination", metavar="URL", help="Move only the reports to this URL, see `outbox status`.")
@click.pass_obj
def move(queue: Outbox, to: str, destination: str | None) -> None:
    """Move reports to another URL or another key.

    Pending reports and dead letters get the URL, the key in XPANDER_API_KEY and the organization in
    XPANDER_ORGANIZATION_ID. Use `outbox drain` to deliver the pending reports, and `outbox retry` for dead letters.
    """
    try:
        configuration = Configuration(base_url=to)
        count = queue.move(configuration, destination)
    except ValueError as error:
        fail(str(error), USAGE)
    click.echo(f"Moved {count_noun(count, 'report')} to {printable(configuration.target)}.")


@outbox.command(
    epilog=examples("xpander-report outbox drain --deadline 60", "xpander-report outbox --file outbox.db drain --watch")
)
@click.option("--watch", is_flag=True, help="Keep running, and deliver new reports.")
@click.option(
    "--deadline",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Maximum duration. Default: until all reports are delivered.",
)
@click.option(
    "--any-key",
    is_flag=True,
    help="Use XPANDER_API_KEY also for reports to XPANDER_BASE_URL that were made with another key. This is for "
    "replaced keys: the new key must belong to the same organization.",
)
@click.pass_obj
def drain(queue: Outbox, watch: bool, deadline: float | None, any_key: bool) -> None:
    """Deliver pending reports now.

    The command ends when the outbox is empty, or when no further report can be delivered. The API key is read from
    XPANDER_API_KEY. The exit code is 75 if reports are still pending.
    """
    end = None if deadline is None else time.monotonic() + deadline
    if any_key:
        queue.use_any_key()
    before = queue.stats()
    with delivery_progress(before.pending) as show_progress:
        while True:
            round_start = stats = queue.stats()
            seconds = _ROUND if end is None else max(0.0, min(_ROUND, end - time.monotonic()))
            # In a thread, so that the progress is refreshed, and Ctrl-C ends the command at once.
            thread = threading.Thread(target=queue.drain, args=(seconds,), daemon=True)
            thread.start()
            while thread.is_alive():
                thread.join(_REFRESH)
                stats = queue.stats()
                finished = _finished(stats) - _finished(before)
                show_progress(finished, finished + stats.pending)
            if end is not None and time.monotonic() >= end:
                break
            if not stats.pending and not watch:
                break
            if _finished(stats) == _finished(round_start):
                if not watch:
                    break
                time.sleep(_IDLE)
    _print_result(queue, before)


def _finished(stats: OutboxStats) -> int:
    return stats.accepted - stats.pending


def _print_result(queue: Outbox, before: OutboxStats) -> None:
    after = queue.stats()
    delivered = after.delivered - before.delivered
    click.echo(f"{delivered:,} delivered, {after.pending:,} pending, {count_noun(after.dead, 'dead letter')}.")
    for destination in after.destinations:
        if reason := _pending_reason(queue, destination):
            click.echo(printable(f"{destination.base_url}: {reason}"), err=True)
    sys.exit(TRY_AGAIN if after.pending else 0)


def _pending_reason(queue: Outbox, destination: Destination) -> str | None:
    if not queue.has_pending_for(destination):
        return None
    if not queue.has_key_for(destination):
        return (
            "the API key of these reports is unknown; set XPANDER_API_KEY to it, or after a change of the key, set "
            "XPANDER_BASE_URL as well and pass --any-key; `outbox move` addresses them anew"
        )
    return destination.last_error


def _counters(queue: Outbox, stats: OutboxStats) -> dict[str, str]:
    dropped = ", ".join(f"{count:,} {reason}" for reason, count in stats.dropped.items())
    return {
        "outbox": queue.path,
        "accepted": f"{stats.accepted:,}",
        "delivered": f"{stats.delivered:,} ({stats.merged:,} of them merged into a later report)",
        "pending": f"{stats.pending:,} ({stats.pending_bytes / 1e6:,.1f} MB)",
        "oldest": "–" if stats.oldest is None else _timestamp(stats.oldest),
        "dead": f"{stats.dead:,}",
        "dropped": dropped or "0",
    }


def _dead_letters_table(letters: list[DeadLetter]) -> Table:
    table = new_table()
    table.add_column("number", no_wrap=True, justify="right")
    table.add_column("rejected (UTC)", no_wrap=True)
    table.add_column("agent")
    table.add_column("task")
    table.add_column("response", overflow="fold")
    for letter in letters:
        time = _timestamp(letter.died_at)
        table.add_row(
            str(letter.seq), time, plain_text(letter.agent_id), plain_text(letter.task_id), plain_text(letter.error)
        )
    return table


def _timestamp(microseconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(microseconds / 1e6, UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):  # written while the clock was wrong
        return str(microseconds)
