"""Checks that find the reason why reports do not arrive: each step from this machine to the backend."""

import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import SplitResult, urlsplit

from attrs import define

from xpander_sdk.client import client, operations
from xpander_sdk.doctor import setting_sources
from xpander_sdk.doctor.findings import CheckFailed, CheckUndetermined, Finding
from xpander_sdk.doctor.refused_spans import check_refused_spans
from xpander_sdk.doctor.report_probe import explain_response, send_invalid_report
from xpander_sdk.errors import ModuleException, PermissionDeniedError
from xpander_sdk.reporting.validation import resolve_agent_id
from xpander_sdk.settings.configuration import Configuration
from xpander_sdk.tasks import Tasks
from xpander_sdk.transport.base import Response

MAX_CLOCK_SKEW = 60  # seconds; the server ignores the time of a report that is five minutes ahead


def run_checks(configuration: Configuration, agent_id: str | None = None) -> Iterator[Finding]:
    """Check each step on the way of a report, in order. The checks record nothing.

    Args:
        configuration: Backend and credentials. The timeouts limit each check.
        agent_id: The agent to look up. Default: the configuration's, else XPANDER_AGENT_ID.

    Yields:
        A finding for each check. After a failure the checks that depend on it are skipped.
    """
    context = _Context(configuration, agent_id)
    checks = _EMBEDDED if configuration.is_embedded else _REMOTE
    has_failed = False
    for name, check in checks:
        source = _SOURCES[name](context) if name in _SOURCES else None
        if has_failed and name not in _LOCAL:
            yield Finding(name, "skipped", "an earlier check failed", source)
            continue
        try:
            yield Finding(name, "ok", check(context), source)
        except CheckUndetermined as undetermined:
            yield Finding(name, "unknown", str(undetermined), source)
        except (CheckFailed, ValueError, ModuleException, ModuleNotFoundError) as error:
            has_failed = has_failed or name not in _INDEPENDENT
            yield Finding(name, "failed", str(error), source)


@define
class _Context:
    """Input of the checks, and the response that the key check receives for the clock check."""

    configuration: Configuration
    agent_id: str | None
    response: Response | None = None

    @property
    def url(self) -> SplitResult:
        return urlsplit(self.configuration.get_full_url())

    @property
    def has_agent(self) -> bool:
        """True if an agent is named, or a default is set."""
        return bool(self.agent_id or self.configuration.agent_id or os.environ.get("XPANDER_AGENT_ID"))

    @property
    def proxy(self) -> str | None:
        """URL of the proxy for requests to the backend; None for no proxy."""
        from xpander_sdk.transport.proxies import find_proxy

        return find_proxy(self.configuration.transport, self.url)

    @property
    def first_hop(self) -> tuple[str, int]:
        """Host and port of the first connection: those of the backend, or of a proxy."""
        hop = urlsplit(self.proxy or self.url.geturl())
        return hop.hostname or "", hop.port or (443 if hop.scheme == "https" else 80)


def _check_target(context: _Context) -> str:
    context.configuration.check_key_protection()
    return f"reports go to {context.configuration.get_full_url()}"


def _check_proxy(context: _Context) -> str:
    from xpander_sdk.transport.proxies import check_proxy_protection

    if context.configuration.transport.http is not None:
        return "your own httpx transport sends the requests"
    check_proxy_protection(context.configuration.transport, context.url)
    host, port = context.first_hop
    if host == context.url.hostname:
        return "no proxy is set for this backend"
    return f"requests go through the proxy {host}:{port}"


def _check_dns(context: _Context) -> str:
    host, port = context.first_hop
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise CheckFailed(
            f"{host} has no address: {error}. Check the host name, and the network of this machine"
        ) from None
    return f"{host} is {', '.join(sorted({str(entry[4][0]) for entry in addresses}))}"


def _check_tcp(context: _Context) -> str:
    host, port = context.first_hop
    start = time.monotonic()
    try:
        with socket.create_connection((host, port), context.configuration.timeouts.connect):
            return f"connected to {host}:{port} in {(time.monotonic() - start) * 1_000:.0f} ms"
    except OSError as error:
        reason = "the connection timed out" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise CheckFailed(
            f"{host}:{port} cannot be reached: {reason}. Check that the server listens there, and the firewalls"
        ) from None


def _check_tls(context: _Context) -> str:
    from xpander_sdk.transport.tls import build_ssl_context

    if context.url.scheme != "https":
        is_local = context.url.hostname in ("127.0.0.1", "localhost", "::1")
        return "not used" + ("" if is_local else ": others on the network can read the key and the runs; use https://")
    host, port = context.url.hostname or "", context.url.port or 443
    if context.first_hop != (host, port):
        return "part of the key check, through the proxy"
    ssl_context = build_ssl_context(context.configuration.transport)
    try:
        with (
            socket.create_connection((host, port), context.configuration.timeouts.connect) as connection,
            ssl_context.wrap_socket(connection, server_hostname=host) as encrypted,
        ):
            certificate: dict[str, Any] = encrypted.getpeercert() or {}
            end = certificate.get("notAfter")
            return f"{encrypted.version()}, certificate valid until {end}" if end else f"{encrypted.version()}"
    except ssl.SSLCertVerificationError as error:
        raise CheckFailed(
            f"the certificate is not trusted: {error.verify_message}. "
            "If your own authority issued it, set TransportSettings(ca_bundle=…) or SSL_CERT_FILE"
        ) from None
    except OSError as error:
        raise CheckFailed(f"{host}:{port} does not use TLS: {error}") from None


def _check_key(context: _Context) -> str:
    configuration, is_known_agent = context.configuration, context.has_agent
    agent_id = resolve_agent_id(configuration, agent_id=context.agent_id) if is_known_agent else "doctor"
    context.response = send_invalid_report(configuration, agent_id)
    return explain_response(configuration, context.response, is_known_agent=is_known_agent)


def _check_clock(context: _Context) -> str:
    headers = {} if context.response is None else context.response.headers
    try:
        backend_time = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return "the backend does not send its time"
    skew = (datetime.now(UTC) - backend_time).total_seconds()
    if abs(skew) > MAX_CLOCK_SKEW:
        direction = "ahead of" if skew > 0 else "behind"
        raise CheckFailed(f"the clock of this machine is {abs(skew):.0f} s {direction} the backend's. Set it")
    return "within a minute of the backend's"


def _check_organization(context: _Context) -> str:
    organization_id = context.configuration.organization_id
    if context.configuration.get_full_url() != context.configuration.base_url.rstrip("/"):
        return f"{organization_id}, as part of the path"
    if organization_id is None:
        return "the key determines it"
    return f"{organization_id} is set, but this backend uses the organization of the key"


def _check_outbox(context: _Context) -> str:
    settings = context.configuration.outbox
    if settings is None:
        return "none for report_external_task; a report that fails is not stored on this machine"
    return f"reports that cannot be delivered are stored in {settings.path}"


def _check_agent(context: _Context) -> str:
    if not context.has_agent:
        return "no default is set; each call must specify an agent"
    agent_id = resolve_agent_id(context.configuration, agent_id=context.agent_id)
    try:
        latest = Tasks(context.configuration).list(agent_id, limit=1)
    except PermissionDeniedError:
        return f"{agent_id}; the key may not read its runs, which reports do not need"
    except ModuleException as error:
        raise CheckUndetermined(f"the runs of {agent_id} cannot be read, which reports do not need: {error}") from None
    if not latest:
        return f"{agent_id} has no runs yet"
    return f"the latest run of {agent_id} was reported at {latest[0].created_at}"


def _check_spans(context: _Context) -> str:
    return check_refused_spans(context.configuration)


def _check_store(context: _Context) -> str:
    configuration = context.configuration
    if not configuration.base_url.startswith("sqlite:"):
        client.probe(configuration, operations.get_task("doctor"))
        return f"{configuration.target} responds"
    path = os.path.abspath(configuration.base_url.removeprefix("sqlite:///"))
    if not os.path.exists(path):
        if not os.access(os.path.dirname(path), os.W_OK):
            raise CheckFailed(f"{os.path.dirname(path)} is not a writable folder")
        raise CheckFailed(f"{path} does not exist. The first report creates it; check the folder if there are reports")
    if not os.access(path, os.W_OK):
        raise CheckFailed(f"{path} is not writable")
    client.probe(configuration, operations.get_task("doctor"))
    return f"{path}, {os.path.getsize(path):,} bytes"


_INDEPENDENT = frozenset({"clock", "organization", "outbox", "spans"})  # no other check depends on these
_LOCAL = frozenset({"outbox"})  # runs although an earlier check failed
_Check = tuple[str, Callable[[_Context], str]]
_EMBEDDED: tuple[_Check, ...] = (
    ("store", _check_store),
    ("outbox", _check_outbox),
    ("agent", _check_agent),
    ("spans", _check_spans),
)
_REMOTE: tuple[_Check, ...] = (
    ("target", _check_target),
    ("proxy", _check_proxy),
    ("dns", _check_dns),
    ("tcp", _check_tcp),
    ("tls", _check_tls),
    ("key", _check_key),
    ("clock", _check_clock),
    ("organization", _check_organization),
    ("outbox", _check_outbox),
    ("agent", _check_agent),
    ("spans", _check_spans),
)
_SOURCES: dict[str, Callable[[_Context], str]] = {
    "target": lambda context: setting_sources.base_url_source(context.configuration),
    "store": lambda context: setting_sources.base_url_source(context.configuration),
    "proxy": lambda context: setting_sources.proxy_source(context.configuration, context.url, context.proxy),
    "key": lambda context: setting_sources.api_key_source(context.configuration),
    "organization": lambda context: setting_sources.organization_id_source(context.configuration),
    "outbox": lambda context: setting_sources.outbox_source(context.configuration),
    "agent": lambda context: setting_sources.agent_id_source(context.configuration, context.agent_id),
}
