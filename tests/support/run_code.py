"""Program that runs the Python code on its standard input. Top-level `await` is allowed, as in a notebook.

With the argument `fork`, it imports the SDK and the server, and runs the code of many requests, each in a fork of
itself. Each line of its standard input is then a request, a JSON object: the `code`, the `folder` to run it in, its
`environment`, the file for its `output`, and the `timeout` in seconds. The answer is a line with the exit code.
"""

import ast
import asyncio
import importlib
import inspect
import json
import os
import signal
import sys
import time
from typing import Any


def run(source: str) -> None:
    code = compile(source, "code", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, {"__name__": "__main__"})
    if inspect.iscoroutine(result):
        asyncio.run(result)


def serve_requests() -> None:
    for name in ("xpander_sdk", "xpander_server.embedded"):
        importlib.import_module(name)
    while line := sys.stdin.readline():
        request = json.loads(line)
        process_id = os.fork()
        if not process_id:
            prepare(request)
            run(request["code"])
            return
        print(exit_code(process_id, request["timeout"]), flush=True)


def prepare(request: dict[str, Any]) -> None:
    """Give the process the folder, the environment and the output of a request."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT)
    for old, new in ((os.open(os.devnull, os.O_RDONLY), 0), (output, 1), (output, 2)):
        os.dup2(old, new)


def exit_code(process_id: int, timeout: float) -> int:
    """Wait for the end of a child, and return its exit code. At the end of the time, kill it."""
    deadline = time.monotonic() + timeout
    while True:
        ended, status = os.waitpid(process_id, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(process_id, signal.SIGKILL)
        time.sleep(0.005)


if __name__ == "__main__":
    if sys.argv[1:] == ["fork"]:
        serve_requests()
    else:
        run(sys.stdin.read())
