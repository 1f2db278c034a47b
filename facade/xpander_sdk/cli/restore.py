"""Command `restore`: replace the contents of a SQLite store."""

from pathlib import Path

import click

from xpander_sdk.cli.options import confirm, creating_store_command, examples, yes_option
from xpander_sdk.cli.render.text import count_noun, printable
from xpander_sdk.settings.base_url import without_password


@click.command(epilog=examples("xpander-report restore copy.db --store sqlite:///xpander.db"))
@click.argument("file", type=click.Path(path_type=Path))
@creating_store_command
@yes_option
def restore(store: str, file: Path, yes: bool) -> None:
    """Replace a SQLite store by the copy FILE.

    All tasks, metrics and keys of the store and its audit log are replaced. Erasures after the copy are undone: erase
    again what `xpander-report audit` shows before. A server may use the store meanwhile.
    """
    from xpander_server.admin import restore

    store_url, shown_file = printable(without_password(store)), printable(str(file))
    confirm(f"Replace all tasks and keys and the audit log in {store_url} by those of {shown_file}?", is_confirmed=yes)
    click.echo(f"Restored {count_noun(restore(store, file), 'task')} of {shown_file} into {store_url}.")
