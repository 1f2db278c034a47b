"""For the official SDK, and what comes with it: no other host, and no telemetry."""

import ipaddress
import os
import sys

# Switches of the packages that it brings along; the hook below is what makes sure.
SWITCHES = {
    "AGNO_TELEMETRY": "false",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OTEL_SDK_DISABLED": "true",
}
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def keep_to_loopback() -> None:
    """End the process at the first attempt to look up or to reach any other host."""
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
        # Not an exception: the SDK would take it for a network failure, and go on.
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
