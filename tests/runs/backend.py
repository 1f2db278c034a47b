"""Backend that keeps the reports it receives, behind httpx transports, and ways to reach it."""

import json
from pathlib import Path
from typing import Any

import httpx
from attrs import define, field

from xpander_sdk import Backend, Configuration, OutboxSettings, TransportSettings

URL = "http://backend.test"


@define
class RecordingBackend:
    """HTTP backend in this process.

    Attributes:
        reports: Bodies of the reports, in the order in which they arrived.
        status: Status of all responses.
        has_outage: Whether no response arrives.
        report_fields: Fields that `/health` names; empty for a backend that supports the documented ones only.
    """

    reports: list[dict[str, Any]] = field(factory=list)
    status: int = 200
    has_outage: bool = False
    report_fields: tuple[str, ...] = (
        "error", "calls", "user_id", "conversation_id", "parent_task_id", "metadata",
    )  # fmt: skip

    def respond(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"status": "ok", "version": "1", "report_fields": self.report_fields})
        body = json.loads(request.content)
        self.reports.append(body)
        if self.has_outage:
            raise httpx.ConnectError("connection refused")
        task = {"id": body["id"], "agent_id": "agent-1", "status": "completed", "created_at": "2026-01-01T00:00:00Z"}
        return httpx.Response(self.status, json={**task, "organization_id": "org", "input": {}})

    async def respond_async(self, request: httpx.Request) -> httpx.Response:
        return self.respond(request)

    def configuration(self, outbox: Path | None = None, **settings: Any) -> Configuration:
        """Return a configuration that reports directly, or through an outbox that a test drains."""
        return Configuration(
            **{
                "base_url": URL,
                "api_key": "key",
                "agent_id": "agent-1",
                "transport": TransportSettings(
                    http=lambda: httpx.MockTransport(self.respond),
                    async_http=lambda: httpx.MockTransport(self.respond_async),
                    allow_plain_http=True,
                ),
                "outbox": None if outbox is None else OutboxSettings(file=str(outbox), worker="none"),
                **settings,
            }
        )


@define
class Recorder:
    """Backend of the SDK whose reports a test reads, on one route.

    Attributes:
        sdk: The backend of the SDK.
        server: The backend that receives the reports.
    """

    sdk: Backend
    server: RecordingBackend

    @property
    def reports(self) -> list[dict[str, Any]]:
        """Bodies of the reports that have arrived; the outbox delivers first."""
        if self.sdk.configuration.outbox is not None:
            assert self.sdk.outbox.drain(20)
        return self.server.reports

    @property
    def report(self) -> dict[str, Any]:
        """The only report."""
        [report] = self.reports
        return report
