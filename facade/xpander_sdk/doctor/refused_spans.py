"""Check of whether the server has refused spans of OpenTelemetry lately, which their exporters do not tell.

Only servers of this project state refused spans (`GET /v1/traces/refusals`). A key with the scope `report` gets counts
and times, a key with the scope `read` also the reasons.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from xpander_sdk.client import client, operations
from xpander_sdk.doctor.findings import CheckFailed, CheckUndetermined
from xpander_sdk.errors import ModuleException
from xpander_sdk.presentation import shorten
from xpander_sdk.settings.configuration import Configuration

LATELY = timedelta(hours=1)
"""Age up to which refused spans are a failure: whoever has repaired an exporter gets a good result an hour later."""
_MAX_REASON = 300


def check_refused_spans(configuration: Configuration) -> str:
    """Return what the server states about refused spans of the key's organization.

    Raises:
        CheckFailed: Spans were refused in the last hour.
        CheckUndetermined: The server did not respond as it should.
    """
    try:
        response = client.probe(configuration, operations.list_span_refusals())
    except ModuleException as error:
        raise CheckUndetermined(f"the refused spans cannot be read: {error}") from None
    if response.status in (404, 405):
        return "the backend does not state refused spans of OpenTelemetry"
    if response.status in (401, 403):
        return f"the key may not read whether spans were refused ({response.status})"
    try:
        refusals = json.loads(response.body)["refusals"]
        lines = [_describe(refusal) for refusal in refusals]
        latest = max((datetime.fromisoformat(refusal["last_at"]) for refusal in refusals), default=None)
        is_recent = latest is not None and datetime.now(UTC) - latest < LATELY
    except (ValueError, TypeError, LookupError, RecursionError):
        raise CheckUndetermined(f"the response does not state refused spans ({response.status})") from None
    if not lines:
        return "the server has refused no spans of OpenTelemetry"
    text = f"the server has refused spans of OpenTelemetry: {'; '.join(lines)}"
    if is_recent:
        raise CheckFailed(f"{text}. The page Refused spans and the log of the server show the reasons")
    return text


def _describe(refusal: dict[str, Any]) -> str:
    spans, requests = int(refusal["spans"]), int(refusal["requests"])
    count = f"{spans:,} spans in {requests:,} requests" if spans else f"{requests:,} requests"
    cause = shorten(str(refusal["cause"]).replace("_", " "), _MAX_REASON)
    reason = refusal.get("reason")
    explanation = f": {shorten(str(reason), _MAX_REASON)}" if reason else ""
    return (
        f"{count}, the last at {datetime.fromisoformat(refusal['last_at']):%Y-%m-%d %H:%M} UTC ({cause}{explanation})"
    )
