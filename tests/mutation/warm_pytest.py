"""Runner of pytest that forks for each run, so that a run imports only what depends on the changed module.

    python warm_pytest.py serve SOCKET MODULE ARGUMENT…    run pytest with these arguments in a fork for each request
    python warm_pytest.py run SOCKET                       request a run, and end with its exit code

`MODULE` is the name of the module that differs between the runs. The server imports the modules that the tests need,
except for this one and those that import it.
"""

import gc
import json
import os
import resource
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

TESTS = os.path.abspath("tests")
CPU_SECONDS = 20
"""Processor time of a run, for changes that cause an endless loop."""
MAX_MEMORY = 4 * 2**30
"""Address space of a run, for changes that cause a collection to grow without end."""


class Blocker(MetaPathFinder):
    """Finder of modules that refuses to import one module, and so also all that import it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise ImportError for the module; leave all others to the next finder."""
        if name == self.name:
            raise ImportError(f"{name} changes")
        return None


def serve(path: str, changed_module: str, arguments: list[str]) -> None:
    """Serve requests until the process is ended, if the tests succeed without a change."""
    import hypothesis

    hypothesis.settings.register_profile(
        "mutants",
        deadline=None,
        database=None,
        max_examples=20,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
        # Without the search for a smaller example of a failure.
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )
    hypothesis.settings.load_profile("mutants")
    _import_all_except(changed_module, _modules_of_tests(arguments))
    # The bytecode of the project and of the tests is stored by now. That of a changed module must not be: two changes
    # within a second that have the same length are one version for Python.
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    gc.freeze()
    if _run_in_fork(arguments) != 0:
        sys.exit("the tests fail without a change")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"%d" % _run_in_fork(arguments))


def _modules_of_tests(arguments: list[str]) -> list[str]:
    """Return the names of all modules that the tests import, in the order of the imports."""
    import pytest

    read_end, write_end = os.pipe()
    if os.fork() == 0:
        _silence()
        pytest.main(arguments)  # not only the collection: functions import modules too
        files = {name: getattr(module, "__file__", None) or "" for name, module in list(sys.modules.items())}
        names = [name for name, file in files.items() if not file.startswith(TESTS)]
        with open(write_end, "w") as pipe:
            json.dump(names, pipe)
        os._exit(0)
    os.close(write_end)
    with open(read_end) as pipe:
        names = json.load(pipe)
    os.wait()
    return names


def _import_all_except(changed_module: str, names: list[str]) -> None:
    blocker = Blocker(changed_module)
    sys.meta_path.insert(0, blocker)
    for name in names:
        with suppress(ImportError):  # it imports the changed module, or it is no module of a file
            import_module(name)
    sys.meta_path.remove(blocker)


def _run_in_fork(arguments: list[str]) -> int:
    import pytest

    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.setsid()  # the processes of the tests end with it
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
            resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
            _silence()
            code = int(pytest.main(arguments))
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    return os.waitstatus_to_exitcode(status) & 0xFF


def _silence() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)


def run(path: str) -> int:
    """Request a run and return its exit code."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        return int(connection.makefile("rb").read())


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], sys.argv[3], sys.argv[4:])
    sys.exit(run(sys.argv[2]))
