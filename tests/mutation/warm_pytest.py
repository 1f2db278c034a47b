"""Runner of pytest that forks for each run, so that no run imports pytest, hypothesis and the libraries again.

    python warm_pytest.py serve SOCKET TIMEOUT    import the libraries, then run pytest in a fork for each request
    python warm_pytest.py run SOCKET ARGUMENT…    request a run, and end with its exit code

The modules of the project are not imported before a fork, because each run tests another version of one of them.
"""

import json
import os
import socket
import sys

LIBRARIES = (
    "pytest", "hypothesis", "hypothesis.strategies", "attrs", "anyio", "certifi", "click", "genai_prices.data_snapshot",
    "httpcore", "httpx", "jsonschema_rs", "msgspec", "psycopg", "sqlalchemy", "starlette.applications",
    "starlette.testclient", "uvicorn",
)  # fmt: skip


def serve(path: str, timeout: float) -> None:
    """Serve requests until the process is ended."""
    for name in LIBRARIES:
        __import__(name)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection, connection.makefile("r") as request:
                arguments = json.loads(request.readline())
                connection.sendall(b"%d" % _run_in_fork(arguments, timeout))


def _run_in_fork(arguments: list[str], timeout: float) -> int:
    import signal

    import pytest

    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.setsid()  # the processes of the tests end with it
            signal.alarm(round(timeout))  # ends the process, for a change that causes an endless loop
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(null, descriptor)
            code = int(pytest.main(arguments))
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    return os.waitstatus_to_exitcode(status) & 0xFF


def run(path: str, arguments: list[str]) -> int:
    """Request a run and return its exit code."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(json.dumps(arguments).encode() + b"\n")
        return int(connection.makefile("rb").read())


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], float(sys.argv[3]))
    sys.exit(run(sys.argv[2], sys.argv[3:]))
