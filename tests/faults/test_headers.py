"""Headers of requests."""

import platform

from faults.forms import FAST_RETRIES, KEY, Form
from faults.server import HOST, FaultServer
from faults.steps import (
    ACCEPT,
    respond,
)
from xpander_sdk import (
    TransportSettings,
    __version__,
)

ALL = FAST_RETRIES.attempts


def test_request_has_user_agent_and_media_types(form: Form):
    with FaultServer(ACCEPT) as server:
        form.report(form.configuration(server.url))
    (request,) = server.requests
    assert request.method == "POST"
    assert request.headers["user-agent"] == f"xpander-report/{__version__} python/{platform.python_version()}"
    assert request.headers["accept"] == "application/json"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["host"] == f"{HOST}:{server.port}"
    assert request.headers["x-api-key"] == KEY


def test_custom_headers_are_sent_with_every_attempt(form: Form):
    transport = TransportSettings(headers={"X-Tenant": "blue", "User-Agent": "mine/1"})
    with FaultServer(respond(503), ACCEPT) as server:
        form.report(form.configuration(server.url, transport=transport))
    assert [request.headers["x-tenant"] for request in server.requests] == ["blue", "blue"]
    assert [request.headers["user-agent"] for request in server.requests] == ["mine/1", "mine/1"]
