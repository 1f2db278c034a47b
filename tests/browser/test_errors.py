"""Errors page: failures grouped by their errors."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

SIZES = {"phone": {"width": 360, "height": 740}, "desktop": {"width": 1600, "height": 1000}}


def report_failures(user):
    for number in range(5):
        user.report(id=f"slow-{number}", agent_id=f"agent-{number % 2}", is_success=False,
                    error=f"Timeout after {number * 100} ms in 'tool {number}'")  # fmt: skip
    user.report(id="limit", agent_id="agent-1", is_success=False, error="HTTP 429: rate limit")
    user.report(id="silent", agent_id="agent-1", is_success=False)
    user.report(id="good", is_success=True, result="HTTP 429: rate limit")


def test_failures_are_grouped_by_error(user):
    report_failures(user)
    page = user.page
    page.get_by_role("link", name="Errors").click()
    rows = page.locator("#errors tbody tr")
    expect(rows).to_have_count(3)
    first = rows.first
    expect(first.locator(".pattern")).to_have_text("Timeout after # ms in …")
    assert first.locator("td").all_inner_texts()[:2] == ["5", "71.4 %"]
    expect(first.locator(".agents")).to_have_text("agent-0 3, agent-1 2")
    assert first.locator(".trend rect").count() >= 1
    first.locator("summary").click()
    assert first.locator("li").count() == 5
    first.get_by_role("link", name="Timeout").click()
    page.wait_for_url("**/ui/task?id=slow-4")


def test_errors_are_filtered_by_agent_and_time(user):
    report_failures(user)
    page = user.page
    user.open("/ui/errors")
    page.locator("#errors .agents").first.get_by_role("link", name="agent-0").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Errors of agent-0")
    expect(page.locator("#errors tbody tr")).to_have_count(1)
    expect(page.locator("#errors tbody td").first).to_have_text("3")
    page.get_by_role("link", name="3 failed runs").click()
    page.wait_for_url("**/ui/history?*")
    expect(page.locator("#runs tr[data-id]")).to_have_count(3)
    user.open("/ui/errors?since=2020-01-01T00:00&until=2020-02-01T00:00")
    expect(page.get_by_text("No failed runs in this time range.")).to_be_visible()


def test_errors_page_works_without_script(new_user):
    user = new_user(java_script_enabled=False)
    report_failures(user)
    user.sign_in("/ui/errors")
    expect(user.page.locator("#errors tbody tr")).to_have_count(3)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_page_fits_screen_and_is_accessible(new_user, scheme, size):
    user = new_user(color_scheme=scheme, viewport=SIZES[size])
    report_failures(user)
    user.report(id="long", agent_id="an-agent-with-quite-a-long-name-" * 5, is_success=False, error="W" * 900)
    user.sign_in("/ui/errors")
    page = user.page
    page.locator("details").evaluate_all("nodes => nodes.forEach(node => node.open = true)")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= SIZES[size]["width"]
    violations = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in violations] == []
