"""The server behind nginx and caddy with kept connections: an attacker never changes what another caller gets."""

import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path

import pytest

from server.conftest import StoreWithKeys
from server.test_request_smuggling import CHUNKED, LENGTH, POST, REFUSED, REPORT, UPGRADE
from support.ports import free_port
from support.server import KEY, Server, running_server
from support.web_proxies import running_web_proxy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ATTACKERS = 8
ATTEMPTS_PER_PROXY = 1_000
_VICTIM = b"GET /agent-execution/mine/status HTTP/1.1\r\nhost: x\r\nx-api-key: " + KEY.encode() + b"\r\n\r\n"

# As nginx' documentation proxies WebSockets, with one kept connection that attacker and victim share.
_NGINX = """
user root; daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors warn;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  upstream server {{ server {server}; keepalive 1; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://server; proxy_http_version 1.1; proxy_request_buffering {buffering};
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
    }}
  }}
}}
"""
_CADDY = """
{{
  admin off
  auto_https off
  log {{
    output discard
  }}
}}
:{port} {{
  reverse_proxy {server} {{
    transport http {{
      keepalive 60s
      keepalive_idle_conns_per_host 1
    }}
  }}
}}
"""


@pytest.fixture(scope="module")
def store(new_store_with_keys: Callable[[], StoreWithKeys]) -> StoreWithKeys:
    return new_store_with_keys()


@pytest.fixture(scope="module")
def server(store: StoreWithKeys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("log") / "log"
    with running_server(store.url, "--log-level", "info", "--behind-proxy", "127.0.0.1", log=log) as server:
        yield server


def send(address: tuple[str, int], *parts: bytes, seconds: float) -> bytes:
    """Send parts on a new connection, and return what arrives until a pause of `seconds`."""
    received = b""
    with socket.create_connection(address, timeout=20) as connection, suppress(OSError):
        for part in parts:
            connection.sendall(part)
            connection.settimeout(seconds)
            with suppress(TimeoutError):
                while data := connection.recv(65_536):
                    received += data
    return received


def ask(address: tuple[str, int], request: bytes) -> bytes:
    """Send a request on a new connection, and return the response, whose body is a JSON object."""
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(request)
        received = b""
        while not received.endswith(b"}"):
            data = connection.recv(65_536)
            assert data, received
            received += data
        return received


def assert_own_task(response: bytes) -> None:
    head, _, body = response.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), response
    task = json.loads(body)
    assert (task["id"], task["result"]) == ("mine", "of the victim")


def attacks(key: str) -> list[tuple[bytes, ...]]:
    """Return attacks, each as the parts that are sent one after the other."""
    headers = b"host: x\r\nx-api-key: " + key.encode() + b"\r\ncontent-type: application/json\r\n"
    hidden = b"GET /agent-execution/hidden/status HTTP/1.1\r\nhost: x\r\nx-api-key: " + key.encode() + b"\r\n\r\n"
    forms: list[tuple[bytes, ...]] = []
    for line in (POST, b"POST /healthz HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\n", b"PUT /nothing HTTP/1.1\r\n"):
        for upgrade in (
            b"",
            UPGRADE,
            b"connection: upgrade\r\nupgrade: h2c\r\n",
            b"connection: Upgrade\r\nupgrade: websocket\r\n",
        ):
            for padding in (b"", b"\r\n" * 10_000):
                body = padding + hidden * 2
                length = b"content-length: %d\r\n\r\n" % len(body)
                chunked = b"transfer-encoding: chunked\r\n\r\n"
                forms += [
                    (line + headers + upgrade + length + body,),
                    (line + headers + upgrade + length, body),
                    (line + headers + upgrade + chunked + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),),
                    (line + headers + upgrade + b"expect: 100-continue\r\n" + length, body),
                ]
    # Ambiguous heads of the attacker's own requests; a proxy may refuse, correct or forward them.
    forms += [(raw.replace(KEY.encode(), key.encode()) + hidden,) for raw, _ in REFUSED.values()]
    forms += [
        (POST + headers + b"transfer-encoding: " + coding + b"\r\n" + LENGTH + b"\r\n" + CHUNKED + hidden,)
        for coding in (b"chunked", b"Chunked", b"xchunked", b"\tchunked", b"chunked\t", b"chunked;q=1", b"identity")
    ]
    forms += [
        (POST + headers + b"content-length: %s\r\n\r\n" % length + REPORT + hidden,)
        for length in (b"0", b"1", b"038", b"38 ", b"", b"4294967334", b"-38", b"0x26")
    ]
    return forms


@pytest.mark.parametrize("name", ["nginx", "nginx without buffer", "caddy"])
def test_victim_gets_only_its_own_answers(server: Server, store: StoreWithKeys, tmp_path: Path, name: str):
    attacker_key = store.create_key(name, "org-attacker")
    server_address = server.url.removeprefix("http://")
    program = name.split()[0]
    configuration = {"nginx": _NGINX, "caddy": _CADDY}[program]
    buffering = "off" if "without" in name else "on"
    attempts = ATTEMPTS_PER_PROXY if program == "caddy" else ATTEMPTS_PER_PROXY // 2
    report = b'{"id": "mine", "result": "of the victim"}'
    headers = b"host: x\r\nx-api-key: " + KEY.encode() + b"\r\ncontent-type: application/json\r\n"
    port = free_port()
    text = configuration.format(folder=tmp_path, port=port, server=server_address, buffering=buffering)
    with running_web_proxy(program, text, tmp_path, port) as address:
        assert_own_task(ask(address, POST + headers + b"content-length: %d\r\n\r\n" % len(report) + report))

        def attack(parts: tuple[bytes, ...]) -> None:
            send(address, *parts, seconds=0.01)
            assert_own_task(ask(address, _VICTIM))

        # Attackers and victims share the kept connections from the proxy to the server, in any order.
        with ThreadPoolExecutor(ATTACKERS) as pool:
            for _ in pool.map(attack, islice(cycle(attacks(attacker_key)), attempts)):
                pass
