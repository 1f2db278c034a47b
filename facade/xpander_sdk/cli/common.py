"""What all commands share: where to, how it ends, what a terminal shows."""

import json
import os
import re
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, NoReturn

import click
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from xpander_sdk import Configuration, errors
from xpander_sdk.reporting.json_encoder import to_jsonable
from xpander_sdk.reporting.validation import resolve_agent_id

REFUSED, USAGE, TRY_AGAIN = 1, 2, 75
TRANSIENT = (errors.ConnectionFailedError, errors.TimedOutError, errors.ServerError, errors.RateLimitedError)
STYLES = {"completed": "green", "failed": "red", "executing": "yellow"}


def target(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say where to, as one `configuration` argument; failures as exit codes."""

    @click.option("--base-url", metavar="URL", help="Where to. Default: XPANDER_BASE_URL, else the cloud.")
    @click.option("--organization-id", metavar="ID", help="Default: XPANDER_ORGANIZATION_ID.")
    @wraps(command)
    def run(base_url: str | None, organization_id: str | None, **arguments: Any) -> None:
        try:
            configuration = Configuration(base_url=base_url, organization_id=organization_id)
            command(configuration=configuration, **arguments)
        except errors.ModuleException as error:
            fail(str(error), TRY_AGAIN if isinstance(error, TRANSIENT) else REFUSED)
        except (ValueError, ModuleNotFoundError) as error:
            fail(str(error), USAGE)

    return run


def fail(message: str, code: int) -> NoReturn:
    click.echo(f"error: {printable(message)}", err=True)
    sys.exit(code)


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class _Span(click.ParamType[timedelta]):
    """A span of time: 90d, 24h, 30m, 45s."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        found = re.fullmatch(r"([0-9]{1,6})([smhd])", str(value), re.ASCII)
        if found is None:
            self.fail(f"{value!r} is no span of time: write 90d, 24h, 30m or 45s", param, ctx)
        return timedelta(**{_UNITS[found[2]]: int(found[1])})


SPAN = _Span()


def fail_without_server(missing: ModuleNotFoundError) -> NoReturn:
    fail(f"the server needs {missing.name}: pip install 'xpander-report[server]'", USAGE)


store_option = click.option(
    "--store",
    envvar="XPANDER_STORE",
    metavar="URL",
    default="sqlite:///xpander.db",
    show_default=True,
    help="Where tasks are kept: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE. Default: XPANDER_STORE.",
)
as_json_option = click.option("--json", "as_json", is_flag=True, help="JSON for programs.")


def agent_named(configuration: Configuration, agent_id: str | None, how: str) -> str:
    if agent_id is None and not (configuration.agent_id or os.environ.get("XPANDER_AGENT_ID")):
        raise ValueError(f"no agent is named: give {how}, or set XPANDER_AGENT_ID")
    return resolve_agent_id(configuration, agent_id=agent_id)


def pairs(facts: dict[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, status(value) if name == "status" else cell(value))
    return table


def status(status: str) -> Text:
    return Text(printable(str(status)), style=STYLES.get(status, ""))


def cell(value: str) -> Text:
    # As text, never as rich's markup.
    return Text(printable(value))


def folded(text: str, width: int) -> str:
    return "\n".join(text[start : start + width] for start in range(0, len(text), width))


def printable(text: str) -> str:
    """Text from outside, without what could steer a terminal."""
    return "".join(character if character.isprintable() or character == "\n" else "�" for character in text)


def print_table(table: RenderableType) -> None:
    Console().print(table)


def print_json(value: object) -> None:
    click.echo(json.dumps(to_jsonable(value), ensure_ascii=True))
