"""Start, end and result of the programs in `programs/`, each in a separate process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import frozen

from xpander_sdk import Configuration

TESTS = Path(__file__).parents[1]
PROGRAMS = Path(__file__).parent / "programs"
PROGRAM_TIMEOUT = 90  # seconds; a program takes a few seconds, but the machine may be busy
# Longest time in seconds from a program's last statement to the end of its process. A normal exit takes a fraction of a
# second. An exit that waits for a response or for a retry takes 15 s or more: the read timeout, and the stub's
# retry-after.
EXIT_TIMEOUT = 10


@frozen
class FinishedProgram:
    """Exit code and output of a program that has ended.

    Attributes:
        code: exit code; negative for a signal.
        out: standard output.
        err: standard error.
        ended_at: time of its end on the monotonic clock, which all processes share.
    """

    code: int
    out: str
    err: str
    ended_at: float

    def assert_silent_exit(self, code: int = 0) -> None:
        """Assert that the program ended with this code and wrote nothing to standard error."""
        assert (self.code, self.err) == (code, ""), f"ended with {self.code}: {self.err[-4_000:]}"

    def assert_quick_exit(self, limit: float = EXIT_TIMEOUT) -> None:
        """Assert that the process ended soon after `print_time()`, the program's last statement."""
        assert self.ended_at - float(self.out) < limit

    @property
    def result(self) -> Any:
        """Value of the last line of standard output, which is JSON."""
        self.assert_silent_exit()
        return json.loads(self.out.splitlines()[-1])


@frozen
class Target:
    """Backend that a program reports to, and an agent that no other test uses."""

    configuration: Configuration
    agent_id: str

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables that configure the SDK."""
        settings = {
            "BASE_URL": self.configuration.base_url,
            "API_KEY": self.configuration.current_key(),
            "ORGANIZATION_ID": self.configuration.organization_id,
            "AGENT_ID": self.agent_id,
        }
        return {f"XPANDER_{name}": value for name, value in settings.items() if value is not None}

    def environment(self, outbox_file: Path | None = None) -> dict[str, str]:
        """Return the whole environment of a program that imports the modules of the tests."""
        import_path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
        outbox = {} if outbox_file is None else {"XPANDER_OUTBOX": str(outbox_file)}
        return {**os.environ, **self.variables, **outbox, "PYTHONPATH": import_path}


_running: list[subprocess.Popen[str]] = []


def start(target: Target, program: str, *arguments: str, development_mode: bool = True) -> subprocess.Popen[str]:
    """Start a program in which every warning is an error.

    Args:
        target: backend and agent that the program reports to.
        program: name of a module in `programs/`, followed by a dot and a scenario if the module has several.
        arguments: arguments of the scenario.
        development_mode: whether Python warns of resources that are not closed.
    """
    module, *scenario = program.split(".")
    # -P: modules in the folder of the program must not hide modules of libraries.
    options = ["-P", "-W", "error", *(["-X", "dev"] if development_mode else [])]
    process = subprocess.Popen(
        [sys.executable, *options, str(PROGRAMS / f"{module}.py"), *scenario, *arguments],
        env=target.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    _running.append(process)
    return process


def finish(process: subprocess.Popen[str], timeout: float = PROGRAM_TIMEOUT) -> FinishedProgram:
    """Close the program's standard input, and wait until the program and all of its children have ended.

    The children keep its output open, so the output ends with the last of them.
    """
    try:
        out, err = process.communicate(timeout=timeout)
    except BaseException as error:
        kill_group(process)
        _, err = process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise AssertionError(f"the program or a child of it was running after {timeout} s: {err}") from None
        raise
    return FinishedProgram(process.returncode, out, err, time.monotonic())


def run(
    target: Target, program: str, *arguments: str, development_mode: bool = True, timeout: float = PROGRAM_TIMEOUT
) -> FinishedProgram:
    """Start a program and wait for its end; the arguments are those of `start` and `finish`."""
    return finish(start(target, program, *arguments, development_mode=development_mode), timeout)


def read_line(process: subprocess.Popen[str]) -> str:
    """Return the next line of the program's output."""
    assert process.stdout is not None
    return process.stdout.readline()


@contextmanager
def background_process(
    command: list[str], environment: dict[str, str], folder: Path, log: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a command in a folder, write its output into a log, and kill its process group at the end of the block."""
    with (
        log.open("w") as output,
        subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, cwd=folder, process_group=0
        ) as process,
    ):
        try:
            yield process
        finally:
            kill_group(process)


def kill_group(process: subprocess.Popen[Any]) -> None:
    """Kill a process and its children, which form one process group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def kill_running() -> None:
    """Kill the programs that a failed test did not wait for."""
    while _running:
        process = _running.pop()
        if process.returncode is None:
            kill_group(process)
            process.communicate()


def numbered(prefix: str, count: int) -> set[str]:
    """Return the names `prefix-0`, `prefix-1` and so on."""
    return {f"{prefix}-{number}" for number in range(count)}


def thread_report_names(counts: list[int]) -> set[str]:
    """Return the names of the reports of `fork_while_threads_report`, given the number of reports of each thread."""
    return {name for number, count in enumerate(counts) for name in numbered(f"thread-{number}", count)}
