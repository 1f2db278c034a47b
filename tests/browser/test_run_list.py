"""List of runs: reasons of failures, search by id, chips, counts, orders, limits, rows and downloads."""

import csv
import json
import re
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


def chips(page):
    return page.get_by_role("list", name="Filters in force").get_by_role("listitem")


def test_position_in_the_list_is_shown_and_can_be_removed(new_user):
    user = new_user(java_script_enabled=False)
    for number in range(60):
        user.report(id=f"run-{number:02}", agent_id="agent-1", duration=1.0 + number)
    user.sign_in("/ui/history?agent_id=agent-1")
    page = user.page
    page.get_by_role("link", name="Older").click()
    expect(chips(page).last).to_have_text(re.compile(r"Position: until \d{4}-\d\d-\d\d \d\d:\d\d UTC ×"))
    page.get_by_role("link", name="Remove the filter Position").click()
    expect(rows(page)).to_have_count(50)
    expect(chips(page)).to_have_text("Agent: agent-1 ×")
    user.open("/ui/history?agent_id=agent-1&sort=duration&offset=50")
    expect(chips(page).last).to_have_text("Position: from run 51 on ×")
    page.get_by_role("link", name="Remove the filter Position").click()
    expect_first_ids(page, ["run-59", "run-58"])
    assert page.url.endswith("/ui/history?agent_id=agent-1&sort=duration")


def column_names(page):
    return page.locator("table.runs thead th").all_inner_texts()


def test_columns_are_chosen_in_a_form_and_kept_by_the_links_of_the_list(user_with_runs):
    page = user_with_runs.page
    assert column_names(page) == ["Status", "Run", "Agent", "Duration", "Tokens", "Cost", "Time (UTC) ▼"]
    page.get_by_text("More filters").click()
    page.get_by_label("Column Agent").uncheck()
    page.get_by_label("Column Tokens").uncheck()
    page.get_by_label("Column User").check()
    page.get_by_role("button", name="Apply").last.click()
    page.wait_for_url("**/ui/history?columns=user,duration,cost".replace(",", "%2C"))
    assert column_names(page) == ["Status", "Run", "User", "Duration", "Cost", "Time (UTC) ▼"]
    expect(page.locator('tr[data-id="dear"] td.name')).to_have_text("ana")
    page.get_by_role("columnheader", name="Cost").get_by_role("link").click()
    expect(page.get_by_role("columnheader", name="Cost")).to_have_attribute("aria-sort", "descending")
    page.locator("a.open").first.click()
    page.get_by_role("link", name="History").last.click()
    assert column_names(page) == ["Status", "Run", "User", "Duration", "Cost ▼", "Time (UTC)"]
    page.get_by_role("link", name="ana").click()
    expect_ids(page, ["dear"])
    assert len(column_names(page)) == 6


def test_list_without_columns_to_choose_has_status_run_and_time(user_with_runs):
    page = user_with_runs.page
    page.get_by_text("More filters").click()
    for name in ("Agent", "Duration", "Tokens", "Cost"):
        page.get_by_label(f"Column {name}").uncheck()
    page.get_by_role("button", name="Apply").last.click()
    page.wait_for_url("**/ui/history?columns=run")
    assert column_names(page) == ["Status", "Run", "Time (UTC) ▼"]


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


def test_roomy_rows_have_one_height(new_user):
    user = new_user(viewport={"width": 1440, "height": 900})
    user.report(id="short")
    user.report(
        id="long", input="Question " * 90, result="Answer " * 90, used_tools=[f"tool_{number}" for number in range(9)],
        metadata={f"name-{number}": "value" * 9 for number in range(9)}, user_id="u" * 99, conversation_id="c" * 99,
    )  # fmt: skip
    user.report(id="failed", is_success=False, error="No " * 90, llm_response={"model": "gpt-4o"})
    user.sign_in("/ui/history?rows=roomy")
    heights = rows(user.page).evaluate_all("rows => rows.map(row => Math.round(row.getBoundingClientRect().height))")
    assert max(heights) - min(heights) <= 1
    assert heights[0] < 65


@pytest.mark.parametrize("row_height", ["", "?rows=roomy"])
def test_long_right_to_left_text_shows_its_start(new_user, row_height):
    user = new_user()
    user.report(id="run", input="اكتب ملخصًا للتقرير ربع السنوي " * 9, result="ارتفعت الإيرادات " * 20)
    user.sign_in(f"/ui/history{row_height}")
    for selector in (".open", ".result"):
        is_visible = user.page.locator(f"table.runs {selector}").evaluate("""element => {
            const range = document.createRange();
            range.setStart(element.firstChild, 0);
            range.setEnd(element.firstChild, 1);
            const [letter, box] = [range.getBoundingClientRect(), element.getBoundingClientRect()];
            return element.scrollWidth > box.width && letter.left >= box.left && letter.right <= box.right + 1;
        }""")
        assert is_visible, selector


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
