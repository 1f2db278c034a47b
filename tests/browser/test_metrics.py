"""The metrics: the numbers behind each chart are those of the API."""

import csv
import io

import pytest
from playwright.sync_api import expect


@pytest.fixture
def runs(new_visitor):
    visitor = new_visitor()
    for number in range(20):
        visitor.report(
            id=f"run-{number}",
            agent_id=f"agent-{number % 3}",
            llm_response={"model": "gpt-4o"},
            tokens={"prompt_tokens": 1_000 * number, "completion_tokens": 10},
            is_success=None if number == 19 else number % 5 > 0,
            duration=1.5 * number,
            used_tools=["search"] * (number % 4),
        )
    visitor.sign_in("/ui/metrics?last=24h")
    return visitor


def downloaded(visitor, figure, form):
    page = visitor.page
    page.locator(f"#{figure} summary").click() if page.locator(f"#{figure} summary").count() else None
    link = page.locator(f"#{figure}").get_by_role("link", name=form, exact=True)
    answer = page.context.request.get(visitor.url + link.get_attribute("href"))
    assert answer.ok
    return answer


def test_the_charts_show_the_numbers_of_the_api(runs):
    metrics = runs.backend.organization_metrics()
    page = runs.page
    expect(page.locator("#total-runs")).to_have_text(str(metrics.runs.total))
    by_hour = downloaded(runs, "runs", "JSON").json()
    for outcome in ("completed", "failed", "executing", "total"):
        assert sum(row[outcome] for row in by_hour) == getattr(metrics.runs, outcome)
    latest = page.locator("#runs tbody tr", has_text=str(metrics.runs.completed)).last.locator("td").all_inner_texts()
    shown = [row for row in by_hour if row["total"]]
    assert latest == [str(shown[-1][name]) for name in ("completed", "failed", "executing", "total")]
    durations = [row for row in downloaded(runs, "durations", "JSON").json() if row["p50"] is not None]
    if len(durations) == 1:  # all within one hour
        assert [durations[0][name] for name in ("p50", "p95", "p99")] == pytest.approx(
            [metrics.duration.p50, metrics.duration.p95, metrics.duration.p99]
        )
    tokens = downloaded(runs, "tokens", "JSON").json()
    assert sum(row["prompt_tokens"] for row in tokens) == metrics.tokens.prompt_tokens
    cost = downloaded(runs, "cost", "JSON").json()
    assert sum(row["cost"] or 0 for row in cost) == pytest.approx(metrics.cost.total)
    # As tall as they say: the columns of one span, bottom to top.
    tall = page.locator("#runs svg g.completed rect, #runs svg g.failed rect, #runs svg g.executing rect")
    heights = tall.evaluate_all(
        "rects => rects.map(rect => [rect.parentNode.getAttribute('class'), +rect.getAttribute('height')])"
    )
    whole = sum(height for _, height in heights)
    for style in ("completed", "failed", "executing"):
        part = sum(height for name, height in heights if name == style)
        assert part / whole == pytest.approx(getattr(metrics.runs, style) / metrics.runs.total, abs=0.03)


def test_tables_compare_agents_tools_and_models(runs):
    metrics = runs.backend.organization_metrics()
    agents = downloaded(runs, "agents", "JSON").json()
    assert {row["agent_id"]: row["total"] for row in agents} == {
        name: counts.total for name, counts in metrics.agents.items()
    }
    of_one = runs.backend.metrics("agent-1")
    (row,) = [row for row in agents if row["agent_id"] == "agent-1"]
    assert (row["p50"], row["success_rate"]) == (of_one.duration.p50, of_one.success_rate)
    tools = list(csv.DictReader(io.StringIO(downloaded(runs, "tools", "CSV").text())))
    assert tools == [
        {"name": "search", "calls": str(metrics.tools["search"].calls), "runs": str(metrics.tools["search"].runs)}
    ]
    expect(runs.page.locator("#models")).to_contain_text("gpt-4o")


def test_an_agent_has_metrics_of_its_own(runs):
    runs.page.locator("#agents").get_by_role("link", name="agent-2").click()
    expect(runs.page.locator("#total-runs")).to_have_text(str(runs.backend.metrics("agent-2").runs.total))
    expect(runs.page.get_by_role("heading", level=1)).to_have_text("Metrics of agent-2")


def test_a_span_of_a_chart_leads_into_it(runs):
    page = runs.page
    page.locator("#runs .spans a").last.click()
    page.wait_for_url("**/ui/metrics?since=*")
    expect(page.get_by_role("link", name="24 hours")).not_to_have_attribute("aria-current", "true")


def test_dragging_over_spans_zooms_into_them(runs):
    page = runs.page
    spans = page.locator("#tokens .spans rect")
    first, last = spans.nth(20).bounding_box(), spans.nth(22).bounding_box()
    page.mouse.move(first["x"] + 3, first["y"] + 20)
    page.mouse.down()
    page.mouse.move(last["x"] + 3, last["y"] + 20, steps=4)
    page.mouse.up()
    page.wait_for_url("**/ui/metrics?since=*")
    assert page.locator("#tokens tbody tr").count() in (0, 3)


def test_a_range_of_ones_own(runs):
    page = runs.page
    page.get_by_text("From, to").click()
    page.get_by_label("From (UTC)").fill("2020-01-01T00:00")
    page.get_by_label("To (UTC)").fill("2020-02-01T00:00")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("No run in this time.")).to_be_visible()
    page.get_by_role("link", name="All time").first.click()
    expect(page.locator("#total-runs")).to_have_text("20")
