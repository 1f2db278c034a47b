"""Command `backup`: copy a SQLite store."""

from pathlib import Path

import click

from xpander_sdk.cli.options import examples, store_command
from xpander_sdk.cli.render.text import count_noun, printable


@click.command(epilog=examples("xpander-report backup copy.db --store sqlite:///xpander.db"))
@click.argument("file", type=click.Path(path_type=Path))
@store_command
def backup(store: str, file: Path) -> None:
    """Copy a SQLite store into FILE.

    The copy contains tasks, metrics and keys as of one point in time. A server may use the store meanwhile.
    """
    from xpander_server.admin import backup

    click.echo(f"Copied {count_noun(backup(store, file), 'task')} into {printable(str(file))}.")
