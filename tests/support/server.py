"""A really started server: `xpander-report serve` in a process of its own, on a free port of the loopback."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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


def serving(store: Path, *arguments: str) -> list[str]:
    """The command that serves the SQLite file `store`."""
    return [
        sys.executable, "-m", "xpander_sdk.cli", "serve", "--store", f"sqlite:///{store}", "--port", "0",
        "--api-key", KEY, "--organization-id", ORGANIZATION, *arguments,
    ]  # fmt: skip


def url_in(line: str) -> str:
    """Where it listens, as it says first."""
    found = re.search(r" at (http://\S+)", line)
    assert found, f"the server did not start: {line!r}"
    return found[1]


@contextmanager
def running_server(store: Path, *arguments: str) -> Iterator[Server]:
    """Serve the SQLite file `store` until the end of the block."""
    with subprocess.Popen(serving(store, *arguments), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Server(url_in(process.stdout.readline()), process)
        finally:
            process.terminate()
            process.wait(timeout=15)
