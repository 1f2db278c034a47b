"""A really started server: `xpander-report serve` in a process of its own, on a free port of the loopback."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from attrs import frozen

from xpander_sdk import Configuration

KEY = "key-of-the-tests"
ORGANIZATION = "org-tests"


@frozen
class Server:
    """Where it listens, and how to speak to it."""

    url: str
    process: subprocess.Popen[str]

    @property
    def configuration(self) -> Configuration:
        return Configuration(base_url=self.url, api_key=KEY, organization_id=ORGANIZATION)


def serving(store: Path | str, *arguments: str) -> list[str]:
    """The command that serves `store`, a SQLite file or a URL."""
    url = store if isinstance(store, str) else f"sqlite:///{store}"
    return [
        sys.executable, "-m", "xpander_sdk.cli", "serve", "--store", url, "--port", "0",
        "--api-key", KEY, "--organization-id", ORGANIZATION, "--log-level", "warning", *arguments,
    ]  # fmt: skip


def url_in(line: str) -> str:
    """Where it listens, as it says first."""
    found = re.search(r" at (https?://\S+)", line)
    assert found, f"the server did not start: {line!r}"
    return found[1]


@contextmanager
def running_server(store: Path | str, *arguments: str, log: Path | None = None) -> Iterator[Server]:
    """Serve `store`, a SQLite file or a URL, until the end of the block; what it logs goes into `log`."""
    with (
        nullcontext() if log is None else log.open("wb") as errors,
        subprocess.Popen(serving(store, *arguments), stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            yield Server(url_in(process.stdout.readline()), process)
        finally:
            process.terminate()
            try:
                process.wait(timeout=15)
            finally:
                process.kill()  # which does nothing to one that has ended
