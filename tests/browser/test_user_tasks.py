"""Questions of users, answered from the start page in at most three clicks each.

Typing a word is no click; choosing an option of a select is one. The report of pytest has the clicks of each question.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

MAX_CLICKS = 3
NOW = datetime.now(UTC)


class CountedClicks:
    """Page of a user on which every click is counted."""

    def __init__(self, user, record_property: Callable[[str, object], None]) -> None:
        self.page = user.page
        self.clicks = 0
        self._record_property = record_property

    def click(self, locator) -> None:
        self.clicks += 1
        locator.click()

    def choose(self, name: str, option: str) -> None:
        self.clicks += 1
        self.page.get_by_label(name, exact=True).select_option(option)

    def assert_few(self) -> None:
        self._record_property("clicks", self.clicks)
        print(f"{self.clicks} clicks")
        assert self.clicks <= MAX_CLICKS


@pytest.fixture
def counted(new_user, record_property):
    """Return the start page of an organization with two agents, users and models, a spike, and a failed child."""
    user = new_user()
    call = {"provider": "openai", "model": "gpt-4o", "cost": 0.01, "tokens": {"prompt_tokens": 100}}
    for number in range(6):
        time = NOW - timedelta(days=number, minutes=5)
        user.report_at(time, id=f"run-{number}", agent_id="planner", calls=[call], user_id="ana", duration=1.0)
    user.report_at(
        NOW - timedelta(days=2, hours=1), id="dear", agent_id="writer", input="The dear one", duration=90.0,
        user_id="bob", calls=[{**call, "model": "gpt-4o-mini", "cost": 3.5, "tokens": {"prompt_tokens": 90_000}}],
    )  # fmt: skip
    user.report_at(NOW - timedelta(days=20), id="dearer", agent_id="writer", calls=[{**call, "cost": 9.0}])
    user.report(id="parent", agent_id="planner", input="The parent")
    user.report(
        id="child", agent_id="writer", input="The failed child", parent_task_id="parent", is_success=False,
        error="Model refused the request 4711",
    )  # fmt: skip
    user.report(id="good-child", agent_id="writer", input="The good child", parent_task_id="parent")
    user.sign_in()
    return CountedClicks(user, record_property)


def test_most_expensive_run_of_last_week(counted):
    page = counted.page
    counted.choose("Time", "7d")
    page.wait_for_url("**last=7d**")
    counted.click(page.get_by_role("columnheader", name="Cost").get_by_role("link"))
    counted.click(page.locator("tr[data-id] a.open").first)
    expect(page.get_by_role("heading", name="The dear one")).to_be_visible()
    counted.assert_few()


def test_why_an_agent_fails(counted):
    page = counted.page
    counted.click(page.get_by_role("link", name="Agents", exact=True))
    counted.click(page.get_by_role("link", name="writer", exact=True))
    expect(page.locator("#errors")).to_contain_text("Model refused the request")
    counted.assert_few()


def test_all_runs_of_a_user(counted):
    page = counted.page
    counted.click(page.get_by_text("More filters"))
    page.get_by_label("User", exact=True).fill("bob")
    counted.click(page.get_by_role("button", name="Apply"))
    page.wait_for_url("**user_id=bob**")
    assert page.locator("tr[data-id]").evaluate_all("rows => rows.map(row => row.dataset.id)") == ["dear"]
    counted.assert_few()


def test_user_of_a_run_in_the_list_leads_to_all_their_runs(counted):
    page = counted.page
    counted.click(page.get_by_role("link", name="user ana").first)
    expect(page.locator("tr[data-id]")).to_have_count(6)
    counted.assert_few()


def test_tokens_by_model_this_month(counted):
    page = counted.page
    counted.click(page.get_by_role("link", name="Metrics", exact=True))
    counted.click(page.get_by_role("link", name="This month"))
    row = page.locator("#models tbody tr", has_text="gpt-4o").first
    expect(row).to_be_visible()
    expect(page.locator("#models thead")).to_contain_text("Tokens")
    counted.assert_few()


def test_run_behind_a_spike(counted):
    page = counted.page
    counted.click(page.get_by_role("link", name="Metrics", exact=True))
    columns = page.locator("#cost svg g.series-1 rect")
    heights = columns.evaluate_all("rects => rects.map(rect => +rect.getAttribute('height'))")
    left = columns.nth(heights.index(max(heights))).bounding_box()
    # The link of the time bucket covers its column.
    buckets = page.locator("#cost svg .buckets a")
    boxes = [bucket.bounding_box() for bucket in buckets.all()]
    middle = left["x"] + left["width"] / 2
    index = next(index for index, box in enumerate(boxes) if box["x"] <= middle <= box["x"] + box["width"])
    counted.click(buckets.nth(index))
    counted.click(page.locator("#largest-runs section", has_text="Most expensive runs").locator("th a").first)
    expect(page.get_by_role("heading", name="The dear one")).to_be_visible()
    counted.assert_few()


def test_failed_child_of_a_run(counted):
    page = counted.page
    counted.click(page.locator('tr[data-id="parent"] a.open'))
    counted.click(page.locator("#children tr.failed a"))
    expect(page.get_by_role("note", name="Reason of the failure")).to_contain_text("Model refused the request 4711")
    counted.assert_few()
