"""Server of this project in a child process: `xpander-report serve` on a free loopback port."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from attrs import frozen

from xpander_sdk import Configuration

KEY = "key-of-the-tests-of-the-server"
ORGANIZATION = "org-tests"
WHOLE_PAGES = str(Path(__file__).with_name("serve_whole_pages.py"))


@frozen
class Server:
    """URL and process of a running server."""

    url: str
    process: subprocess.Popen[str]

    @property
    def configuration(self) -> Configuration:
        """Configuration of a client that may use every operation of the server."""
        return Configuration(base_url=self.url, api_key=KEY, organization_id=ORGANIZATION)


def serve_command(store: Path | str, *arguments: str, pages_are_whole: bool = False) -> list[str]:
    """Return the command that serves a store.

    Args:
        store: path of a SQLite file, or URL of a database.
        arguments: further arguments of `xpander-report serve`.
        pages_are_whole: whether a search ends at a full page only, and not after some time.
    """
    url = store if isinstance(store, str) else f"sqlite:///{store}"
    program = [WHOLE_PAGES] if pages_are_whole else ["-m", "xpander_sdk.cli"]
    return [
        sys.executable, *program, "serve", "--store", url, "--port", "0",
        "--api-key", KEY, "--organization-id", ORGANIZATION, "--log-level", "warning", *arguments,
    ]  # fmt: skip


def server_url(first_line: str) -> str:
    """Return the server's URL, which the first line of its output contains."""
    match = re.search(r" at (https?://\S+)", first_line)
    assert match, f"the server did not start: {first_line!r}"
    return match[1]


@contextmanager
def running_server(
    store: Path | str, *arguments: str, log: Path | None = None, pages_are_whole: bool = False
) -> Iterator[Server]:
    """Serve a store until the end of the block.

    Args:
        store: path of a SQLite file, or URL of a database.
        arguments: further arguments of `xpander-report serve`.
        log: file for the server's standard error.
        pages_are_whole: whether a search ends at a full page only, and not after some time.
    """
    command = serve_command(store, *arguments, pages_are_whole=pages_are_whole)
    with (
        nullcontext() if log is None else log.open("wb") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            yield Server(server_url(process.stdout.readline()), process)
        finally:
            process.terminate()
            try:
                process.wait(timeout=15)
            finally:
                process.kill()  # has no effect on a process that has ended
