"""Restriction of a process to the loopback interface, for the official SDK and its dependencies."""

import ipaddress
import os
import sys

# Settings that turn off telemetry and downloads of the dependencies. The audit hook below enforces the restriction.
SWITCHES = {
    "AGNO_TELEMETRY": "false",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OTEL_SDK_DISABLED": "true",
}
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def keep_to_loopback() -> None:
    """Make the process exit when it resolves or connects to another host."""
    os.environ.update(SWITCHES)
    for name in _PROXIES:
        os.environ.pop(name, None)
        os.environ.pop(name.upper(), None)
    sys.addaudithook(_only_loopback)


def _only_loopback(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if not _is_loopback(host):
        # Not an exception: the SDK would handle it as a network failure and continue.
        print(f"tried to reach {host!r}", file=sys.stderr, flush=True)
        os._exit(70)


def _is_loopback(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode()
    if host is None or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False
