"""Runs the programs of these tests, each in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import frozen

from xpander_sdk import Configuration

TESTS = Path(__file__).parents[1]
SECONDS = 90  # for a program that hangs; none needs more than a few, but the machine may be busy
# From a program's last statement to the end of its process: a fraction of a second. What holds an exit up holds it for
# 15 s at the least (the time for an answer, and what the stub asks to wait), so this tells them apart on any machine.
EXIT_SECONDS = 10

# The development mode also reports what holds up the event loop for 0.1 s, which depends on how busy the machine is.
PRELUDE = "import logging; logging.getLogger('asyncio').setLevel(logging.ERROR)\n"


@frozen
class Ended:
    """A program that has ended."""

    code: int
    out: str
    err: str
    at: float  # monotonic, which all processes share

    @property
    def result(self) -> Any:
        """What it printed last, where it went well and had nothing to complain of."""
        assert (self.code, self.err) == (0, ""), f"ended with {self.code}: {self.err[-4_000:]}"
        return json.loads(self.out.splitlines()[-1])


@frozen
class Target:
    """Where programs report to, by their environment, under an agent that no other test uses."""

    configuration: Configuration
    agent_id: str

    @property
    def environment(self) -> dict[str, str]:
        settings = {
            "BASE_URL": self.configuration.base_url,
            "API_KEY": self.configuration.current_key(),
            "ORGANIZATION_ID": self.configuration.organization_id,
            "AGENT_ID": self.agent_id,
        }
        return {f"XPANDER_{name}": value for name, value in settings.items() if value is not None}


_started: list[subprocess.Popen[str]] = []


def start(target: Target, program: str, *arguments: str, strict: bool = True) -> subprocess.Popen[str]:
    """Start a program, in which warnings are errors. `strict`: the development mode shows what is left open."""
    options = ["-W", "error", *(["-X", "dev"] if strict else [])]
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        [sys.executable, *options, "-c", PRELUDE + textwrap.dedent(program), *arguments],
        env={**os.environ, **target.environment, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    _started.append(process)
    return process


def end(process: subprocess.Popen[str], seconds: float = SECONDS) -> Ended:
    """Close its standard input, and wait for its end, and that of all of its children, as they hold its output too."""
    try:
        out, err = process.communicate(timeout=seconds)
    except BaseException as error:
        # Children that hang would hold its output open, and outlive the test.
        kill(process)
        _, err = process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise AssertionError(f"it, or a child of it, had not ended after {seconds} s: {err}") from None
        raise
    return Ended(process.returncode, out, err, time.monotonic())


def kill(process: subprocess.Popen[Any]) -> None:
    """End a process and its children, which are of one group, whatever they do."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def kill_started() -> None:
    """End what a test started and, since it failed, did not wait for."""
    while _started:
        process = _started.pop()
        if process.returncode is None:
            kill(process)
            process.communicate()


def run(target: Target, program: str, *arguments: str, strict: bool = True, seconds: float = SECONDS) -> Ended:
    return end(start(target, program, *arguments, strict=strict), seconds)
