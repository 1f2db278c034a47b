"""The proxy configurations of deploy/, in Debian's nginx and caddy, in front of a running server."""

import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from server.conftest import StoreWithKeys
from support.certificates import create_certificate
from support.ports import free_port
from support.server import KEY, running_server
from support.web_proxies import running_web_proxy
from xpander_sdk import Backend, Configuration

pytestmark = pytest.mark.slow

DEPLOY = Path(__file__).parents[2] / "deploy"
PREFIX = "/reports"


class Proxy:
    """A proxy that runs a configuration of deploy/.

    The configurations listen on port 443 with a public certificate; this class replaces both.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self.program = program
        self.folder = folder
        self.certificate = create_certificate("DNS:localhost,IP:127.0.0.1", folder)
        self.port = free_port()
        self.url = f"https://localhost:{self.port}"

    def running(self, server_port: int, prefix: str = "") -> AbstractContextManager[tuple[str, int]]:
        """Run the proxy in front of a server on this port until the end of the block."""
        variables = {"HOSTNAME_OF_SERVER": f"localhost:{self.port}", "SERVER": f"127.0.0.1:{server_port}"}
        configuration = self._nginx(server_port, prefix) if self.program == "nginx" else self._caddy(prefix)
        return running_web_proxy(self.program, configuration, self.folder, self.port, **variables)

    def _nginx(self, server_port: int, prefix: str) -> str:
        text = (DEPLOY / "nginx/xpander-report.conf").read_text()
        text = text.replace("127.0.0.1:8100", f"127.0.0.1:{server_port}")
        text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{self.port} ssl")
        text = text.replace("location / {", f"location {prefix}/ {{")
        text = re.sub(r"ssl_certificate \S+;", f"ssl_certificate {self.certificate.path};", text)
        text = re.sub(r"ssl_certificate_key \S+;", f"ssl_certificate_key {self.certificate.key};", text)
        folders = " ".join(
            f"{name}_temp_path {self.folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        main = f"user root; daemon off; master_process off; pid {self.folder}/pid; events {{}}"
        return f"{main}\nhttp {{ access_log off; {folders}\n{text}\n}}\n"

    def _caddy(self, prefix: str) -> str:
        text = (DEPLOY / "caddy/Caddyfile").read_text()
        options = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n"
        tls = f"\ttls {self.certificate.path} {self.certificate.key}\n"
        head = "{$HOSTNAME_OF_SERVER} {\n"
        assert head in text
        text = text.replace(head, head + tls)
        if prefix:
            text = text.replace("reverse_proxy {", f"reverse_proxy {prefix}/* {{")
        return options + text


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def proxy(
    request: pytest.FixtureRequest,
    new_store_with_keys: Callable[[], StoreWithKeys],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Proxy]:
    """Run a proxy in front of a server."""
    proxy = Proxy(request.param, tmp_path_factory.mktemp(request.param))
    with (
        running_server(new_store_with_keys().url, "--behind-proxy", "127.0.0.1") as server,
        proxy.running(port_of(server.url)),
    ):
        yield proxy


def client(proxy: Proxy) -> httpx.Client:
    return httpx.Client(
        base_url=proxy.url, verify=ssl.create_default_context(cafile=proxy.certificate.path), trust_env=False
    )


def test_reports_with_large_texts_pass(proxy: Proxy, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SSL_CERT_FILE", proxy.certificate.path)
    backend = Backend(Configuration(base_url=proxy.url, api_key=KEY))
    task = backend.report_external_task(agent_id="agent", id="large", result="x" * 3_000_000)
    assert len(task.result or "") == 3_000_000


def test_session_cookie_is_bound_to_tls(proxy: Proxy):
    with client(proxy) as browser:
        response = browser.post("/ui/sign-in", data={"key": KEY}, headers={"origin": proxy.url})
        assert response.status_code == 303
        assert response.headers["set-cookie"].startswith("__Host-")
        assert browser.get("/ui/history").status_code == 200


def test_body_above_the_limit_is_refused_with_json(proxy: Proxy):
    headers = {"x-api-key": KEY, "content-type": "application/json"}
    with client(proxy) as sender:
        response = sender.post("/agent-execution/agent/report_task", content=bytes(65 << 20), headers=headers)
    assert response.status_code == 413
    assert "detail" in response.json()


@pytest.mark.parametrize("program", ["nginx", "caddy"])
def test_errors_without_a_server_are_json(program: str, tmp_path: Path):
    proxy = Proxy(program, tmp_path)
    with proxy.running(free_port()), client(proxy) as sender:
        response = sender.get("/health")
    assert response.status_code in (502, 503)
    assert "detail" in response.json()


@pytest.mark.parametrize("program", ["nginx", "caddy"])
def test_pages_work_below_a_prefix(program: str, tmp_path: Path, store_with_keys: StoreWithKeys):
    proxy = Proxy(program, tmp_path)
    with (
        running_server(store_with_keys.url, "--behind-proxy", "127.0.0.1", "--root-path", PREFIX) as server,
        proxy.running(port_of(server.url), PREFIX),
        client(proxy) as browser,
    ):
        browser.post(f"{PREFIX}/ui/sign-in", data={"key": KEY}, headers={"origin": proxy.url})
        page = browser.get(f"{PREFIX}/ui/history")
        assert page.status_code == 200
        style = re.search(r'href="([^"]*pages.css[^"]*)"', page.text)
        assert style is not None
        assert browser.get(style[1]).status_code == 200
