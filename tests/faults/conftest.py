"""Fixtures of the fault tests: both forms of the SDK, tracing, a certificate, and no proxy settings of this machine."""

import asyncio
import secrets
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator

from faults.forms import Form
from faults.server import HOST
from support.certificates import Certificate, create_certificate

NETWORK_VARIABLES = (
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    "SSL_CERT_FILE", "XPANDER_API_KEY_FILE",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _without_network_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NETWORK_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _without_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make names that end with .invalid unknown at once: the machine's resolver sends packets and may take seconds."""
    resolve = socket.getaddrinfo

    def resolve_locally(host: Any, *arguments: Any, **named_arguments: Any) -> list[Any]:
        if str(host).endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *arguments, **named_arguments)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_locally)


@pytest.fixture
def sync_form() -> Iterator[Form]:
    form = Form(None)
    yield form
    form.close()


@pytest.fixture
def async_form() -> Iterator[Form]:
    """Asynchronous form, with an event loop that runs as long as the test."""
    with asyncio.Runner() as runner:
        yield Form(runner)


@pytest.fixture(params=["sync", "async"])
def form(request: pytest.FixtureRequest) -> Form:
    """Form of the SDK; the test runs once in each form."""
    return request.getfixturevalue(f"{request.param}_form")


class _SpanIds(IdGenerator):
    def generate_span_id(self) -> int:
        return secrets.randbits(63) + 1

    def generate_trace_id(self) -> int:
        return secrets.randbits(127) + 1


@pytest.fixture(scope="session")
def span_exporter() -> InMemorySpanExporter:
    """Return the exporter of the global tracer provider, which a process can set only once."""
    # Other tests may report while the process exits, and OpenTelemetry's own ids use the global random numbers.
    provider = TracerProvider(shutdown_on_exit=False, id_generator=_SpanIds())
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(span_exporter: InMemorySpanExporter) -> InMemorySpanExporter:
    """Return an exporter with the spans that end during the test."""
    span_exporter.clear()
    return span_exporter


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Certificate for the loopback interface."""
    return create_certificate(f"DNS:localhost,IP:{HOST}", tmp_path_factory.mktemp("certificate"))
