"""Debian's nginx and caddy in front of a server."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


def require(program: str) -> str:
    """Return the path of a proxy. CI installs it; elsewhere the test is skipped without it."""
    path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if path is None:
        assert not os.environ.get("CI"), f"CI must install {program}"
        pytest.skip(f"{program} is not installed: apt-get install {program}")
    return path


@contextmanager
def running_web_proxy(
    program: str, configuration: str, folder: Path, port: int, **variables: str
) -> Iterator[tuple[str, int]]:
    """Run a proxy until the end of the block, and yield its address as soon as it listens.

    Args:
        program: "nginx" or "caddy".
        configuration: The configuration, which makes the proxy listen on the loopback port `port`.
        folder: Folder for the configuration, the log and the state of the proxy.
        port: The port.
        **variables: Environment variables that the configuration uses.
    """
    path, file, address = require(program), folder / "configuration", ("127.0.0.1", port)
    file.write_text(configuration)
    command = {
        "nginx": [path, "-c", str(file), "-e", str(folder / "errors")],
        "caddy": [path, "run", "--config", str(file), "--adapter", "caddyfile"],
    }[program]
    homes = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(folder))
    environment = {**os.environ, **homes, **variables}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(100):
                with suppress(OSError), socket.create_connection(address, timeout=5):
                    break
                time.sleep(0.1)
            else:
                raise AssertionError(f"{program} does not listen")
            yield address
        finally:
            process.terminate()
