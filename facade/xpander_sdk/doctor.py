"""Why reports do not arrive: each step on their way, looked at by itself and explained."""

import os
import socket
import ssl
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

from attrs import define, frozen

from xpander_sdk.client import client, operations
from xpander_sdk.errors import ModuleException
from xpander_sdk.settings.configuration import Configuration
from xpander_sdk.tasks import Tasks

MAX_CLOCK_SKEW = 60  # seconds; five minutes ahead, and a server no longer believes the time of a report


@frozen
class Finding:
    """What one check found."""

    check: str
    state: Literal["ok", "failed", "skipped"]
    told: str


class _Failed(Exception):
    """A check failed; its text is what is told."""


def run_checks(configuration: Configuration, agent_id: str | None = None) -> Iterator[Finding]:
    """Look at each step on the way of a report, in order; what depends on a step that failed is skipped.

    Sends nothing but requests that read. Takes as long as the configuration's time-outs allow.
    """
    patient = _Examination(configuration, agent_id)
    steps = _EMBEDDED if configuration.is_embedded else _REMOTE
    is_blocked = False
    for name, check in steps:
        if is_blocked:
            yield Finding(name, "skipped", "depends on what failed above")
            continue
        try:
            yield Finding(name, "ok", check(patient))
        except (_Failed, ValueError, ModuleException, ModuleNotFoundError) as error:
            is_blocked = name not in _NOT_IN_THE_WAY
            yield Finding(name, "failed", str(error))


@define
class _Examination:
    configuration: Configuration
    agent_id: str | None
    answer: Any = None

    @property
    def url(self) -> SplitResult:
        return urlsplit(self.configuration.get_full_url())

    @property
    def first_hop(self) -> tuple[str, int]:
        """Where the first connection goes: the target, or a proxy."""
        from xpander_sdk.transport.proxies import find_proxy

        hop = urlsplit(find_proxy(self.configuration.transport, self.url) or self.url.geturl())
        return hop.hostname or "", hop.port or (443 if hop.scheme == "https" else 80)


def _target(patient: _Examination) -> str:
    return f"reports go to {patient.configuration.get_full_url()}"


def _proxy(patient: _Examination) -> str:
    if patient.configuration.transport.http is not None:
        return "a transport of your own carries the requests"
    host, port = patient.first_hop
    if host == patient.url.hostname:
        return "none is set for this target"
    return f"through the proxy {host}:{port}"


def _dns(patient: _Examination) -> str:
    host, port = patient.first_hop
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _Failed(f"{host} has no address: {error}. Is the name right, and is there a network?") from None
    return f"{host} is {', '.join(sorted({str(entry[4][0]) for entry in found}))}"


def _tcp(patient: _Examination) -> str:
    host, port = patient.first_hop
    begun = time.monotonic()
    try:
        with socket.create_connection((host, port), patient.configuration.timeouts.connect):
            return f"connected to {host}:{port} in {(time.monotonic() - begun) * 1_000:.0f} ms"
    except OSError as error:
        told = "no answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise _Failed(f"{host}:{port}: {told}. Does it listen there, and does a firewall let this through?") from None


def _tls(patient: _Examination) -> str:
    from xpander_sdk.transport.tls import build_ssl_context

    if patient.url.scheme != "https":
        is_local = patient.url.hostname in ("127.0.0.1", "localhost", "::1")
        return "not used" + ("" if is_local else ": the key and the runs can be read on the way; use https://")
    host, port = patient.url.hostname or "", patient.url.port or 443
    if patient.first_hop != (host, port):
        return "is left to the request below, through the proxy"
    context = build_ssl_context(patient.configuration.transport)
    try:
        with (
            socket.create_connection((host, port), patient.configuration.timeouts.connect) as plain,
            context.wrap_socket(plain, server_hostname=host) as secure,
        ):
            certificate: dict[str, Any] = secure.getpeercert() or {}
            until = certificate.get("notAfter")
            return f"{secure.version()}, certificate valid until {until}" if until else f"{secure.version()}"
    except ssl.SSLCertVerificationError as error:
        told = f"the certificate is not trusted: {error.verify_message}"
        raise _Failed(
            f"{told}. If it is your own authority's, set TransportSettings(ca_bundle=…) or SSL_CERT_FILE"
        ) from None
    except OSError as error:
        raise _Failed(f"no TLS at {host}:{port}: {error}") from None


def _key(patient: _Examination) -> str:
    # A task that nobody has: a known key is told that there is none, an unknown one that it is unknown.
    patient.answer = client.probe(patient.configuration, operations.get_task(f"doctor-{uuid.uuid4()}"))
    status = patient.answer.status
    if status in (200, 404):
        return "it is known"
    if status == 401:
        raise _Failed("the backend does not know the key (401). Is it this backend's, and is it whole?")
    if status == 403:
        organisation = patient.configuration.organization_id
        raise _Failed(f"the key has no access (403). Does it belong to the organisation {organisation!r}?")
    raise _Failed(
        f"the backend answers {status} where 404 was to be expected. Is {patient.url.geturl()} the right URL?"
    )


def _clock(patient: _Examination) -> str:
    try:
        theirs = parsedate_to_datetime(patient.answer.headers.get("date", ""))
    except ValueError:
        return "the backend does not tell its time"
    skew = (datetime.now(UTC) - theirs).total_seconds()
    if abs(skew) > MAX_CLOCK_SKEW:
        direction = "ahead of" if skew > 0 else "behind"
        raise _Failed(f"this machine's clock is {abs(skew):.0f} s {direction} the backend's; set it right")
    return "agrees with the backend's to the minute"


def _organisation(patient: _Examination) -> str:
    given = patient.configuration.organization_id
    if patient.configuration.get_full_url() != patient.configuration.base_url.rstrip("/"):
        return f"{given}, as part of the path"
    return "is told by the key" if given is None else f"{given}; here the key tells it"


def _agent(patient: _Examination) -> str:
    from xpander_sdk.reporting.validation import resolve_agent_id

    if patient.agent_id is None and not (patient.configuration.agent_id or os.environ.get("XPANDER_AGENT_ID")):
        return "none is set; each call has to name one"
    agent_id = resolve_agent_id(patient.configuration, agent_id=patient.agent_id)
    latest = Tasks(patient.configuration).list(agent_id, limit=1)
    if not latest:
        return f"{agent_id} has no runs yet"
    return f"{agent_id} was last reported at {latest[0].created_at}"


def _store(patient: _Examination) -> str:
    if not patient.configuration.base_url.startswith("sqlite:"):
        client.probe(patient.configuration, operations.get_task("doctor"))
        return f"{patient.configuration.target} answers"
    path = os.path.abspath(patient.configuration.base_url.removeprefix("sqlite:///"))
    is_new = not os.path.exists(path)
    if is_new and not os.access(os.path.dirname(path), os.W_OK):
        raise _Failed(f"{os.path.dirname(path)} is no folder that can be written to")
    if not is_new and not os.access(path, os.W_OK):
        raise _Failed(f"{path} cannot be written to")
    client.probe(patient.configuration, operations.get_task("doctor"))
    return f"{path}, {'made now' if is_new else f'{os.path.getsize(path):,} bytes'}"


_NOT_IN_THE_WAY = frozenset({"clock", "organisation"})
_Step = tuple[str, Callable[[_Examination], str]]
_EMBEDDED: tuple[_Step, ...] = (("store", _store), ("agent", _agent))
_REMOTE: tuple[_Step, ...] = (
    ("target", _target),
    ("proxy", _proxy),
    ("dns", _dns),
    ("tcp", _tcp),
    ("tls", _tls),
    ("key", _key),
    ("clock", _clock),
    ("organisation", _organisation),
    ("agent", _agent),
)
