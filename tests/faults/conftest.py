"""What the tests of faults share: both forms, a certificate, and no proxy of this machine."""

import asyncio
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from faults.calls import Form
from faults.server import HOST
from support.certificates import Certificate, create_certificate

OF_THE_MACHINE = (
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    "SSL_CERT_FILE", "XPANDER_API_KEY_FILE",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OF_THE_MACHINE:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["sync", "async"])
def form(request: pytest.FixtureRequest) -> Iterator[Form]:
    """The test runs in both forms."""
    if request.param == "sync":
        form = Form(None)
        yield form
        form.close()
    else:
        with asyncio.Runner() as runner:
            yield Form(runner)


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """What tracing has to show of the test."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)  # which a process can do only once
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield exporter
    exporter.shutdown()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """For the loopback."""
    return create_certificate(f"DNS:localhost,IP:{HOST}", tmp_path_factory.mktemp("certificate"))
