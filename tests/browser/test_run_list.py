"""List of runs: reasons of failures, search by id, chips, counts, orders, limits, rows and downloads."""

import csv
import json
from pathlib import Path

import pytest
from playwright.sync_api import expect


def rows(page):
    return page.locator("table.runs tr[data-id]")


def expect_first_ids(page, expected):
    """Check the first runs of the list, and wait for them: a click may return before the next page is there."""
    for number, run_id in enumerate(expected):
        expect(rows(page).nth(number)).to_have_attribute("data-id", run_id)


def expect_ids(page, expected):
    """Check that the list has these runs and no others, and wait for the first one."""
    expect(rows(page)).to_have_count(len(expected))
    expect_first_ids(page, expected[:1])
    assert rows(page).evaluate_all("rows => rows.map(row => row.dataset.id)") == expected


@pytest.fixture
def user_with_runs(new_user):
    """Return a signed-in user with four runs, and JavaScript turned off: all of this works without it."""
    user = new_user(java_script_enabled=False)
    call = {"model": "own", "cost": 0.5}
    user.report(
        id="cheap", agent_id="agent-1", duration=9.0, tokens={"prompt_tokens": 10}, calls=[{**call, "cost": 0.1}]
    )
    user.report(id="dear", agent_id="agent-1", duration=1.0, tokens={"prompt_tokens": 30}, calls=[call], user_id="ana")
    user.report(
        id="broken", agent_id="agent-2", input="Translate", is_success=False, metadata={"env": "prod"},
        llm_response={"error": {"message": "The model <identifier> is invalid."}}, parent_task_id="dear",
    )  # fmt: skip
    user.report(id="running", agent_id="agent-2", is_success=None, conversation_id="chat-7")
    user.sign_in()
    return user


def test_reason_of_failure_is_in_list_and_on_run(user_with_runs):
    page = user_with_runs.page
    row = page.locator('tr[data-id="broken"]')
    expect(row).to_contain_text("The model <identifier> is invalid.")
    row.locator("a.open").click()
    expect(page.get_by_role("note", name="Reason of the failure")).to_contain_text("The model <identifier> is invalid.")
    expect(page.get_by_role("note")).to_contain_text("from the model response")


def test_search_finds_run_by_its_id_and_links_to_it(user_with_runs):
    page = user_with_runs.page
    page.get_by_label("Search").fill("dear")
    page.get_by_role("button", name="Apply").first.click()
    expect_ids(page, ["dear"])
    page.get_by_role("link", name="Run dear →").click()
    expect(page.locator("#run-id")).to_have_text("dear")


def test_all_filters_are_visible_and_can_be_removed_one_by_one(user_with_runs):
    page = user_with_runs.page
    user_with_runs.open("/ui/history?user_id=ana&min_cost=0.2&max_duration=5&tool=x&metadata=env%3Dprod&cost=none")
    chips = page.get_by_role("list", name="Filters in force").get_by_role("listitem")
    assert [" ".join(text.split()).removesuffix(" ×") for text in chips.all_inner_texts()] == [
        "Tool: x", "User: ana", "Metadata: env=prod", "Duration to: 5 s", "Cost from: $0.2",
        "Cost: not priced", "Clear filters",
    ]  # fmt: skip
    expect_ids(page, [])
    page.get_by_role("link", name="Remove the filter Tool").click()
    page.get_by_role("link", name="Remove the filter Metadata").click()
    page.get_by_role("link", name="Remove the filter Cost", exact=True).click()
    expect_ids(page, ["dear"])
    page.get_by_role("link", name="Clear filters").click()
    expect(rows(page)).to_have_count(4)


def test_totals_and_counts_state_what_the_list_contains(user_with_runs):
    page = user_with_runs.page
    expect(page.locator("tr.day").first).to_contain_text("Today, ")
    expect(page.locator("tr.day").first).to_contain_text("· 4 runs")
    expect(page.locator(".totals")).to_have_text("4 runs · 1 failed · 40 tokens · $0.60")
    counts = page.get_by_role("group", name="Counts")
    expect(counts.get_by_role("link", name="agent-2 2")).to_be_visible()
    counts.get_by_role("link", name="failed 1").click()
    expect_ids(page, ["broken"])
    expect(page.locator(".totals")).to_contain_text("1 run · 1 failed")


@pytest.mark.parametrize(
    ("column", "expected"),
    [("Duration", ["cheap", "dear"]), ("Tokens", ["dear", "cheap"]), ("Cost", ["dear", "cheap"])],
)
def test_list_is_sorted_by_a_column_and_reversed(user_with_runs, column, expected):
    page = user_with_runs.page
    page.get_by_role("columnheader", name=column).get_by_role("link").click()
    expect_first_ids(page, expected)
    expect(page.get_by_role("columnheader", name=column)).to_have_attribute("aria-sort", "descending")
    page.get_by_role("columnheader", name=column).get_by_role("link").click()
    expect_first_ids(page, expected[::-1])
    page.get_by_role("columnheader", name="Time").get_by_role("link").click()
    expect_ids(page, ["running", "broken", "dear", "cheap"])
    page.get_by_role("columnheader", name="Time").get_by_role("link").click()
    expect_ids(page, ["cheap", "dear", "broken", "running"])


def test_sorted_list_has_pages(new_user):
    user = new_user(java_script_enabled=False)
    for number in range(60):
        user.report(id=f"run-{number:02}", duration=1.0 + number)
    user.sign_in("/ui/history?sort=duration")
    expect_ids(user.page, [f"run-{number:02}" for number in range(59, 9, -1)])
    user.page.get_by_role("link", name="Next", exact=True).click()
    expect_ids(user.page, [f"run-{number:02}" for number in range(9, -1, -1)])
    user.page.get_by_role("link", name="First", exact=True).click()
    expect(rows(user.page)).to_have_count(50)


def test_run_with_children_leads_to_them_from_the_list(user_with_runs):
    page = user_with_runs.page
    page.locator('tr[data-id="dear"]').get_by_role("link", name="1 run").click()
    expect_ids(page, ["broken"])
    expect(page.locator("a.children")).to_have_count(0)


def test_roomy_rows_show_the_context_of_runs(user_with_runs):
    page = user_with_runs.page
    page.get_by_role("link", name="Roomy").click()
    expect(page.get_by_text("user ana")).to_be_visible()
    expect(page.get_by_text("conversation chat-7")).to_be_visible()
    expect(page.get_by_text("part of dear")).to_be_visible()
    expect(page.get_by_text("env=prod")).to_be_visible()
    page.get_by_role("link", name="Compact").click()
    expect(page.locator("table.compact")).to_be_visible()


def test_sixteen_compact_rows_fit_a_screen(new_user):
    user = new_user(viewport={"width": 1440, "height": 900})
    for number in range(30):
        user.report(
            id=f"run-{number}", input="A question " * 20, result="An answer " * 20, used_tools=["a", "b", "c"] * 4,
            is_success=number % 3 > 0, error="No " * 30, llm_response={"model": "gpt-4o"}, user_id="ana@example.com",
        )  # fmt: skip
    user.sign_in()
    bottoms = user.page.locator("tr[data-id]").evaluate_all(
        "rows => rows.map(row => row.getBoundingClientRect().bottom)"
    )
    assert sum(bottom <= 900 for bottom in bottoms) >= 16


def test_download_has_the_runs_of_the_view_in_its_order(new_user):
    user = new_user()
    user.report(id="a", duration=1.0, user_id="ana", metadata={"env": "prod"})
    user.report(id="b", duration=2.0, user_id="ana", input="=1+1")
    user.report(id="c", duration=3.0)
    user.sign_in("/ui/history?user_id=ana&sort=duration")
    with user.page.expect_download() as download:
        user.page.get_by_role("link", name="CSV").click()
    rows = list(csv.DictReader(Path(download.value.path()).read_text("utf-8").splitlines()))
    assert [(row["id"], row["duration"], row["input"]) for row in rows] == [("b", "2.0", "'=1+1"), ("a", "1.0", "")]
    with user.page.expect_download() as download:
        user.page.get_by_role("link", name="JSON").click()
    assert [row["metadata"] for row in json.loads(Path(download.value.path()).read_text("utf-8"))] == [None, "env=prod"]


def test_choice_of_a_status_applies_at_once(new_user):
    user = new_user()
    user.report(id="good")
    user.report(id="bad", is_success=False)
    user.sign_in()
    user.page.get_by_label("Status", exact=True).select_option("failed")
    user.page.wait_for_url("**/ui/history?status=failed")
    expect_ids(user.page, ["bad"])
