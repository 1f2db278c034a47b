"""Page of the refused spans."""

import json
import urllib.request

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

SIZES = {"phone": {"width": 360, "height": 740}, "desktop": {"width": 1600, "height": 1000}}
HOSTILE = "\x1b[31m<script>alert(1)</script>\x00\u202e"


def send_invalid_spans(user):
    invalid = {"traceId": "1" * 32, "spanId": "2" * 16, "startTimeUnixNano": HOSTILE}
    valid = {"traceId": "3" * 32, "spanId": "4" * 16}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [valid, invalid, invalid]}]}]}).encode()
    headers = {"x-api-key": user.api_key, "content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{user.server.url}/v1/traces", body, headers), timeout=20):
        pass


def open_refusals(user):
    for _ in range(50):
        user.open("/ui/refused-spans")
        if user.page.locator("#refusals").count():
            break
        user.page.wait_for_timeout(100)


def test_page_is_reached_from_the_errors_and_is_empty_at_first(user):
    user.page.get_by_role("link", name="Errors").click()
    user.page.get_by_role("link", name="Refused spans").click()
    expect(user.page.get_by_text("The server has refused no spans.")).to_be_visible()


def test_refused_spans_are_listed_with_their_reason(user):
    send_invalid_spans(user)
    open_refusals(user)
    row = user.page.locator("#refusals tbody tr")
    expect(row).to_have_count(1)
    texts = row.locator("td").all_inner_texts()
    assert texts[:3] == ["Invalid spans", "1", "2"]
    assert "a time must be nanoseconds since 1970" in texts[5]
    assert texts[5].isprintable()
    assert user.page.locator("#refusals script").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_page_fits_screen_and_is_accessible(new_user, scheme, size):
    user = new_user(color_scheme=scheme, viewport=SIZES[size])
    send_invalid_spans(user)
    user.sign_in("/ui/refused-spans")
    open_refusals(user)
    assert user.page.evaluate("document.scrollingElement.scrollWidth") <= SIZES[size]["width"]
    violations = Axe().run(user.page).response["violations"]
    assert [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in violations] == []
