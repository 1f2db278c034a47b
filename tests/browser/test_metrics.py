"""Metrics page: its numbers equal the metrics of the API."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect


@pytest.fixture
def user_with_runs(new_user):
    user = new_user()
    for number in range(20):
        user.report(
            id=f"run-{number}",
            agent_id=f"agent-{number % 3}",
            llm_response={"model": "gpt-4o"},
            tokens={"prompt_tokens": 1_000 * number, "completion_tokens": 10},
            is_success=None if number == 19 else number % 5 > 0,
            duration=1.5 * number,
            used_tools=["search"] * (number % 4),
        )
    user.sign_in("/ui/metrics?last=24h")
    return user


def download(user, name, file_format):
    page = user.page
    link = page.locator(f"#{name}").get_by_role("link", name=file_format, exact=True)
    response = page.context.request.get(user.url + link.get_attribute("href"))
    assert response.ok
    return response


def test_charts_show_metrics_of_api(user_with_runs):
    metrics = user_with_runs.backend.organization_metrics()
    page = user_with_runs.page
    expect(page.locator("#total-runs")).to_have_text(str(metrics.runs.total))
    by_hour = download(user_with_runs, "runs", "JSON").json()
    for outcome in ("completed", "failed", "executing", "total"):
        assert sum(row[outcome] for row in by_hour) == getattr(metrics.runs, outcome)
    page.get_by_role("link", name="Show numbers").click()
    cells = page.locator("#runs tbody tr", has_text=str(metrics.runs.completed)).last.locator("td").all_inner_texts()
    rows_with_runs = [row for row in by_hour if row["total"]]
    assert cells == [str(rows_with_runs[-1][name]) for name in ("completed", "failed", "executing", "total")]
    durations = [row for row in download(user_with_runs, "durations", "JSON").json() if row["p50"] is not None]
    if len(durations) == 1:  # all within one hour
        assert [durations[0][name] for name in ("p50", "p95", "p99")] == pytest.approx(
            [metrics.duration.p50, metrics.duration.p95, metrics.duration.p99]
        )
    tokens = download(user_with_runs, "tokens", "JSON").json()
    assert sum(row["prompt_tokens"] for row in tokens) == metrics.tokens.prompt_tokens
    cost = download(user_with_runs, "cost", "JSON").json()
    assert sum(row["cost"] or 0 for row in cost) == pytest.approx(metrics.cost.total)
    # The heights of the stacked columns are proportional to the numbers of runs.
    columns = page.locator("#runs svg g.completed rect, #runs svg g.failed rect, #runs svg g.executing rect")
    heights = columns.evaluate_all(
        "rects => rects.map(rect => [rect.parentNode.getAttribute('class'), +rect.getAttribute('height')])"
    )
    total_height = sum(height for _, height in heights)
    for style in ("completed", "failed", "executing"):
        height_of_style = sum(height for name, height in heights if name == style)
        assert height_of_style / total_height == pytest.approx(
            getattr(metrics.runs, style) / metrics.runs.total, abs=0.03
        )


def test_tables_show_metrics_of_agents_tools_and_models(user_with_runs):
    metrics = user_with_runs.backend.organization_metrics()
    agents = download(user_with_runs, "agents", "JSON").json()
    assert {row["agent_id"]: row["total"] for row in agents} == {
        name: counts.total for name, counts in metrics.agents.items()
    }
    agent_metrics = user_with_runs.backend.metrics("agent-1")
    (row,) = [row for row in agents if row["agent_id"] == "agent-1"]
    assert (row["p50"], row["success_rate"]) == (agent_metrics.duration.p50, agent_metrics.success_rate)
    tools = list(csv.DictReader(io.StringIO(download(user_with_runs, "tools", "CSV").text())))
    assert tools == [
        {"name": "search", "calls": str(metrics.tools["search"].calls), "runs": str(metrics.tools["search"].runs)}
    ]
    expect(user_with_runs.page.locator("#models")).to_contain_text("gpt-4o")


def test_agent_link_opens_metrics_of_agent(user_with_runs):
    user_with_runs.page.locator("#agents").get_by_role("link", name="agent-2").click()
    expect(user_with_runs.page.locator("#total-runs")).to_have_text(
        str(user_with_runs.backend.metrics("agent-2").runs.total)
    )
    expect(user_with_runs.page.get_by_role("heading", level=1)).to_have_text("Metrics of agent-2")


def test_click_on_time_bucket_opens_its_range(user_with_runs):
    page = user_with_runs.page
    page.locator("#runs .buckets a").last.click()
    page.wait_for_url("**/ui/metrics?since=*")
    expect(page.get_by_role("link", name="24 hours")).not_to_have_attribute("aria-current", "true")


def test_dragging_over_time_buckets_opens_their_range(user_with_runs):
    page = user_with_runs.page
    buckets = page.locator("#tokens .buckets rect")
    first, last = buckets.nth(20).bounding_box(), buckets.nth(22).bounding_box()
    page.mouse.move(first["x"] + 3, first["y"] + 20)
    page.mouse.down()
    page.mouse.move(last["x"] + 3, last["y"] + 20, steps=4)
    page.mouse.up()
    page.wait_for_url("**/ui/metrics?since=*")
    assert page.locator("#tokens tbody tr").count() in (0, 3)


def test_custom_range(user_with_runs):
    page = user_with_runs.page
    page.get_by_text("Custom range").click()
    page.get_by_label("From (UTC)").fill("2020-01-01T00:00")
    page.get_by_label("To (UTC)").fill("2020-02-01T00:00")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("No runs in this time range.")).to_be_visible()
    page.get_by_role("link", name="All time").first.click()
    expect(page.locator("#total-runs")).to_have_text("20")


def test_numbers_lead_to_their_runs(user_with_runs):
    page = user_with_runs.page
    metrics = user_with_runs.backend.organization_metrics()
    page.get_by_role("link", name=f"{metrics.runs.failed} failed").click()
    page.wait_for_url("**/ui/history?*status=failed*")
    expect(page.locator("#runs tr[data-id]")).to_have_count(metrics.runs.failed)
    page.go_back()
    page.locator("#total-runs a").click()
    expect(page.locator("#runs tr[data-id]")).to_have_count(metrics.runs.total)
    page.go_back()
    row = page.locator("#agents tbody tr", has_text="agent-2")
    row.get_by_role("link").nth(1).click()
    expect(page.locator("#runs tr[data-id]")).to_have_count(user_with_runs.backend.metrics("agent-2").runs.total)
    user_with_runs.report(id="without-price")
    user_with_runs.open("/ui/metrics?last=24h")
    page.get_by_role("link", name="1 run not priced").click()
    expect(page.locator("#runs tr[data-id]")).to_have_attribute("data-id", "without-price")
    user_with_runs.open("/ui/metrics?last=24h&numbers=all")
    link = page.locator('#runs td a[href*="status=failed"]').last
    number = int(link.inner_text())
    link.click()
    expect(page.locator("#runs tr[data-id]")).to_have_count(number)


def test_cards_of_a_row_have_equal_heights_and_all_percentiles_are_visible(user_with_runs):
    page = user_with_runs.page
    boxes = page.locator(".charts .card").evaluate_all(
        "cards => cards.map(card => [card.offsetTop, card.offsetHeight])"
    )
    heights: dict[int, set[int]] = {}
    for top, height in boxes:
        heights.setdefault(top, set()).add(height)
    assert all(len(each) == 1 for each in heights.values())
    legend = page.locator("#durations .legend li").all_inner_texts()
    assert legend[:3] == ["p99", "p95", "p50"]


def test_periods_are_in_words_with_links_to_the_periods_beside_it(user_with_runs):
    page = user_with_runs.page
    expect(page.locator(".period")).to_contain_text("UTC – now, 1 day")
    page.get_by_role("link", name="Earlier").click()
    page.wait_for_url("**since=*")
    expect(page.locator("#total-runs")).to_have_text("0")
    page.get_by_role("link", name="Later").click()
    page.wait_for_url("**since=*")
    expect(page.locator("#total-runs")).to_have_text("20")


def test_chart_labels_fit_a_phone(new_user):
    user = new_user(viewport={"width": 360, "height": 740})
    user.report(id="run", is_success=True, duration=1.0)
    user.sign_in("/ui/metrics?last=7d")
    outside = user.page.locator("svg.chart").evaluate_all(
        """charts => charts.flatMap(chart => {
          const frame = chart.getBoundingClientRect();
          const boxes = [...chart.querySelectorAll("text")].map(text => text.getBoundingClientRect());
          return boxes.filter(box => box.width && (box.left < frame.left - 1 || box.right > frame.right + 1));
        }).length"""
    )
    assert outside == 0


def test_tap_shows_tooltip_and_second_tap_opens_range(new_user):
    user = new_user(has_touch=True, viewport={"width": 390, "height": 844})
    for number in range(3):
        user.report(id=f"run-{number}", is_success=number > 0, duration=2.0)
    user.sign_in("/ui/metrics?last=24h")
    page = user.page
    bucket = page.locator("#runs .buckets rect").last
    bucket.tap()
    tooltip = page.locator("#runs .tooltip")
    expect(tooltip).to_be_visible()
    expect(tooltip).to_contain_text("completed 2, failed 1, executing 0")
    box, frame = tooltip.bounding_box(), page.locator("#runs").bounding_box()
    assert box["x"] >= frame["x"]
    assert box["x"] + box["width"] <= frame["x"] + frame["width"] + 1
    page.locator("h1").tap()
    expect(tooltip).to_be_hidden()
    bucket.tap()
    assert "since=" not in page.url
    bucket.tap()
    page.wait_for_url("**/ui/metrics?since=*")


def test_pointer_shows_tooltip(user_with_runs):
    page = user_with_runs.page
    page.locator("#durations .buckets rect").last.hover()
    expect(page.locator("#durations .tooltip")).to_contain_text("p50")
    page.locator("h1").hover()
    expect(page.locator("#durations .tooltip")).to_be_hidden()


def test_tooltip_has_one_line_at_the_edge_of_a_chart(user_with_runs):
    page = user_with_runs.page
    page.locator("#runs .buckets rect").last.hover()
    tooltip = page.locator("#runs .tooltip")
    expect(tooltip).to_contain_text("completed")
    assert tooltip.bounding_box()["height"] < 40


def test_largest_runs_are_equal_cards_with_rows_of_one_line(new_user):
    user = new_user(viewport={"width": 1440, "height": 900})
    for number in range(5):
        user.report(
            id=f"run-{number}", agent_id="agent-" * (number * 9 + 1), input="W" * (1 + 99 * number), duration=9.0,
            calls=[{"model": "own", "cost": 0.5, "tokens": {"prompt_tokens": 10}}][: 1 + number // 3],
        )  # fmt: skip
    since, until = (f"{datetime.now(UTC) + timedelta(hours=hours):%Y-%m-%dT%H:%MZ}" for hours in (-1, 1))
    user.sign_in(f"/ui/metrics?since={since}&until={until}")
    cards = user.page.locator("#largest-runs .card")
    expect(cards).to_have_count(3)
    assert len(set(cards.evaluate_all("cards => cards.map(card => card.offsetHeight)"))) == 1
    rows = cards.locator("tr").evaluate_all("rows => rows.map(row => Math.round(row.offsetHeight / 5))")
    assert len(set(rows)) == 1
    assert user.page.evaluate("document.scrollingElement.scrollWidth") <= 1440


def test_outcome_without_runs_is_no_link(new_user):
    user = new_user()
    user.report(id="run")
    user.sign_in("/ui/metrics")
    expect(user.page.locator(".tiles")).to_contain_text("0 failed, 0 executing")
    expect(user.page.locator(".tiles").get_by_role("link", name=re.compile("failed|executing"))).to_have_count(0)


def test_metrics_are_refreshed_every_minute_until_range_has_an_end(new_user):
    user = new_user()
    user.report(id="run-0", is_success=True)
    user.page.clock.install()
    user.sign_in("/ui/metrics?last=24h")
    expect(user.page.locator("#total-runs")).to_have_text("1")
    user.report(id="run-1", is_success=True)
    user.page.clock.fast_forward(61_000)
    expect(user.page.locator("#total-runs")).to_have_text("2")
    user.page.locator("#runs .buckets rect").last.hover()
    expect(user.page.locator("#runs .tooltip")).to_contain_text("completed 2")
    user.open("/ui/metrics?since=2020-01-01T00:00&until=2100-01-01T00:00")
    assert user.page.locator("[data-refresh]").count() == 0
