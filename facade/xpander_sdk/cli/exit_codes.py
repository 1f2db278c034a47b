"""Exit codes of the commands, and the function that ends a command with one.

| code | meaning |
|---|---|
| 0 | success |
| 1 | the backend rejected a request, or a check of `doctor` failed |
| 2 | invalid arguments, options or settings |
| 75 | no response, or a temporary failure of the backend: retry later (EX_TEMPFAIL of sysexits.h) |
| 130 | interrupted by Ctrl-C (128 + SIGINT) |
"""

import sys
from typing import NoReturn

import click

from xpander_sdk import errors
from xpander_sdk.cli.render.text import printable

REJECTED, USAGE, TRY_AGAIN, INTERRUPTED = 1, 2, 75, 130
TRANSIENT_ERRORS = (
    errors.ConnectionFailedError,
    errors.TimedOutError,
    errors.ServerError,
    errors.RateLimitedError,
)


def fail(message: str, code: int) -> NoReturn:
    """Print an error message on standard error and exit with a code."""
    click.echo(f"error: {printable(message)}", err=True)
    sys.exit(code)


def fail_without_server(missing: ModuleNotFoundError) -> NoReturn:
    """Exit because the packages of the extra `server` are not installed."""
    fail(f"this command needs {missing.name}; install it with pip install 'xpander-report[server]'", USAGE)
