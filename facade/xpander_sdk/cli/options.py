"""Options that several commands share, as decorators."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any

import click

from xpander_sdk import Configuration, errors
from xpander_sdk.cli.exit_codes import REJECTED, TRANSIENT_ERRORS, TRY_AGAIN, USAGE, fail, fail_without_server
from xpander_sdk.reporting.validation import parse_datetime, resolve_agent_id

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class _Period(click.ParamType[timedelta]):
    """Length of time as a number and a unit: 90d, 24h, 30m, 45s."""

    name = "period"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        match = re.fullmatch(r"([0-9]{1,6})([smhd])", str(value), re.ASCII)
        if match is None:
            self.fail(f"a period must be a number and a unit, got {value!r}; write 90d, 24h, 30m or 45s", param, ctx)
        return timedelta(**{_UNITS[match[2]]: int(match[1])})


PERIOD = _Period()


class _Time(click.ParamType[str]):
    """Point in time: an ISO 8601 time, or a period before the present time, such as 7d."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if not re.fullmatch(r"[0-9]+[smhd]", text, re.ASCII):
            try:
                parse_datetime("the value", text)
            except ValueError as error:
                self.fail(f"{error}; a period before now is written 7d, 24h, 30m or 45s", param, ctx)
            return text
        try:
            return (datetime.now(UTC) - PERIOD.convert(value, param, ctx)).isoformat()
        except OverflowError:
            self.fail(f"the time must not be before the year 1, got {text!r}", param, ctx)


TIME = _Time()

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")
in_flight_option = click.option(
    "--in-flight",
    type=click.IntRange(1, 256),
    default=32,
    show_default=True,
    help="Maximum number of concurrent requests.",
)
since_option = click.option(
    "--since",
    type=TIME,
    metavar="TIME",
    help="Only tasks created at this time or later: ISO 8601 (UTC without an offset), or a period before now: 7d, 24h.",
)
until_option = click.option("--until", type=TIME, metavar="TIME", help="Only tasks created before this time.")
organization_option = click.option(
    "--organization-id",
    envvar="XPANDER_ORGANIZATION_ID",
    metavar="ID",
    default="local",
    show_default=True,
    help="Organization in the store. [env: XPANDER_ORGANIZATION_ID]",
)


def _default_store() -> str:
    """Return the database of XPANDER_BASE_URL, so that all commands use the store of one variable."""
    url = os.environ.get("XPANDER_BASE_URL", "")
    return url if url.startswith(("sqlite:", "postgresql")) else "sqlite:///xpander.db"


yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
store_option = click.option(
    "--store",
    envvar="XPANDER_STORE",
    metavar="URL",
    default=_default_store,
    help="Database of the server: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE. [env: XPANDER_STORE; "
    "default: XPANDER_BASE_URL if it is a database, else sqlite:///xpander.db]",
)


def examples(*lines: str) -> str:
    """Return example command lines as the last part of a command's help."""
    # click does not wrap a paragraph that starts with \b.
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def backend_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that name the backend; pass them to the command as its argument `configuration`.

    The decorator also ends the command with an exit code when the SDK raises an error.
    """

    @click.option(
        "--base-url", metavar="URL", help="URL of the backend. [env: XPANDER_BASE_URL; default: xpander.ai's cloud]"
    )
    @click.option("--organization-id", metavar="ID", help="Organization of the agents. [env: XPANDER_ORGANIZATION_ID]")
    @wraps(command)
    def run(base_url: str | None, organization_id: str | None, **arguments: Any) -> None:
        try:
            configuration = Configuration(base_url=base_url, organization_id=organization_id)
            command(configuration=configuration, **arguments)
        except errors.ModuleException as error:
            fail(str(error), TRY_AGAIN if isinstance(error, TRANSIENT_ERRORS) else REJECTED)
        except (ValueError, ModuleNotFoundError) as error:
            fail(str(error), USAGE)

    return run


def reading_backend_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of `backend_options` to a command that only reads.

    A missing SQLite file is an error, because it is probably the wrong folder: the command would create an empty store.
    """

    @wraps(command)
    def run(configuration: Configuration, **arguments: Any) -> None:
        if configuration.base_url.startswith("sqlite:"):
            from xpander_server.admin import missing_file

            path = missing_file(configuration.base_url)
            # If the folder is missing too, the error of the store says so.
            if path is not None and path.parent.is_dir():
                raise ValueError(f"there is no store at {path}; name the store with --base-url or XPANDER_BASE_URL")
        command(configuration=configuration, **arguments)

    return backend_options(run)


def confirm(question: str, *, is_confirmed: bool) -> None:
    """Ask a question; end the command unless the answer is yes, for example because nobody can answer.

    Args:
        question: Question that is asked.
        is_confirmed: Whether the command line has `--yes`; nothing is asked then.
    """
    try:
        if is_confirmed or click.confirm(question, err=True):
            return
    except click.Abort:  # no answer: standard input is at its end
        click.echo(err=True)
    fail("nothing was done; answer y, or pass --yes", REJECTED)


def store_command(command: Callable[..., None]) -> Callable[..., None]:
    """Add the option `--store`; end the command with an exit code when the store is missing or raises an error.

    A missing SQLite file is an error, because it is probably the wrong folder.
    """

    @wraps(command)
    def run(store: str, **arguments: Any) -> None:
        from xpander_server.admin import missing_file

        if (path := missing_file(store)) is not None:
            raise ValueError(f"there is no store at {path}; name the store with --store or XPANDER_STORE")
        command(store=store, **arguments)

    return creating_store_command(run)


def creating_store_command(command: Callable[..., None]) -> Callable[..., None]:
    """Add the option `--store` to a command that may create the store; end it with an exit code if the store fails."""

    @store_option
    @wraps(command)
    def run(**arguments: Any) -> None:
        try:
            from xpander_server.admin import StoreError, StoreUnavailable
        except ModuleNotFoundError as missing:
            fail_without_server(missing)
        try:
            command(**arguments)
        except StoreUnavailable as error:
            fail(f"the store does not respond: {error}", TRY_AGAIN)
        except LookupError as error:
            fail(str(error.args[0]), REJECTED)
        except (StoreError, ValueError) as error:
            fail(str(error), USAGE)

    return run


def find_agent_id(configuration: Configuration, agent_id: str | None) -> str | None:
    """Return the agent id of the command line, of the configuration or of the environment; None without one.

    Args:
        configuration: settings of the command.
        agent_id: value of the command line, if any.

    Raises:
        ValueError: the agent id is invalid.
    """
    if agent_id is None and not (configuration.agent_id or os.environ.get("XPANDER_AGENT_ID")):
        return None
    return resolve_agent_id(configuration, agent_id=agent_id)


@contextmanager
def advise_on_all_agents(owner_id: str | None) -> Iterator[None]:
    """Name AGENT_ID in the error of a backend that cannot read all agents at once.

    Args:
        owner_id: agent or user of the requests in the block; None for all agents.

    Raises:
        ValueError: the requests are for all agents, and the backend does not know them.
    """
    try:
        yield
    except errors.ModuleException as error:
        if owner_id is not None or error.status_code not in (404, 405):
            raise
        raise ValueError(f"{error}; for a backend without requests for all agents, pass AGENT_ID") from error


def metadata_option(help_text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the option --metadata; its value is a dict, or None."""
    return click.option("--metadata", metavar="NAME=VALUE", multiple=True, callback=_parse_pairs, help=help_text)


def _parse_pairs(context: click.Context, parameter: click.Parameter, pairs: tuple[str, ...]) -> dict[str, str] | None:
    for pair in pairs:
        if "=" not in pair:
            raise click.BadParameter(f"--metadata must have the form NAME=VALUE, got {pair!r}", context, parameter)
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)} or None
