"""Pages of agents: the list with its search, the page of one agent, and comparisons."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

SIZES = {"phone": {"width": 360, "height": 740}, "desktop": {"width": 1600, "height": 1000}}


def report_runs(user):
    for number in range(9):
        is_success = number % 3 > 0
        user.report(
            id=f"run-{number}",
            agent_id=["planner", "writer", "Reviewer"][number % 2],
            input=f"question {number}",
            is_success=is_success,
            duration=1.0 + number,
            llm_response={"model": "gpt-4o"},
            tokens={"prompt_tokens": 1_000, "completion_tokens": 10},
            used_tools=["search"],
            **({} if is_success else {"error": f"HTTP {500 + number}"}),
        )
    user.report(id="other", agent_id="Reviewer", is_success=True)


def names_of(page):
    return page.locator("#agent-list tbody th").all_inner_texts()


def test_agents_are_listed_and_found(user):
    report_runs(user)
    page = user.page
    page.get_by_role("link", name="Agents").click()
    assert names_of(page) == ["planner", "writer", "Reviewer"]
    cells = page.locator("#agent-list tbody tr").first.locator("td").all_inner_texts()
    metrics = user.backend.metrics("planner")
    assert cells[:2] == [str(metrics.runs.total), str(metrics.runs.failed)]
    page.get_by_label("Search agents").fill("review")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("1 agent", exact=False).first).to_be_visible()
    assert names_of(page) == ["Reviewer"]
    page.get_by_role("link", name="Clear search").click()
    page.get_by_role("link", name="writer").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("writer")


def test_agent_page_has_metrics_runs_errors_tools_and_models_of_the_agent_only(user):
    report_runs(user)
    page = user.page
    user.open("/ui/agent?id=planner")
    metrics = user.backend.metrics("planner")
    expect(page.locator("#total-runs")).to_have_text(str(metrics.runs.total))
    runs = page.locator("#recent-runs tbody tr")
    expect(runs).to_have_count(metrics.runs.total)
    assert runs.locator("th").all_inner_texts() == [f"question {number}" for number in (8, 6, 4, 2, 0)]
    expect(page.locator("#errors tbody tr")).to_have_count(1)
    expect(page.locator("#errors tbody td").first).to_have_text(str(metrics.runs.failed))
    expect(page.locator("#tools tbody td").first).to_have_text(str(metrics.tools["search"].calls))
    expect(page.locator("#models")).to_contain_text("gpt-4o")
    assert page.locator("#agents").count() == 0
    page.locator("#runs .buckets a").last.click()
    page.wait_for_url("**/ui/agent?id=planner&since=*")
    expect(page.locator("#total-runs")).to_have_text(str(metrics.runs.total))
    runs.first.get_by_role("link").click()
    page.wait_for_url("**/ui/task?id=run-8")


def test_two_agents_and_two_periods_are_compared(user):
    report_runs(user)
    page = user.page
    user.open("/ui/agent?id=planner")
    page.get_by_label("Compare with agent").fill("writer")
    page.get_by_role("button", name="Compare").click()
    rows = {
        row.locator("th").inner_text(): row.locator("td").all_inner_texts()
        for row in page.locator("#comparison tbody tr").all()
    }
    assert rows["Runs"] == ["5", "4", "▲ 25 %"]
    assert rows["Failure rate"] == ["40 %", "25 %", "▲ 15.0 points"]
    assert page.locator("#comparison svg.chart").count() == 4
    assert (
        page.locator("#comparison svg.chart")
        .first.locator("g.series-1:not(.dots) path, g.series-2:not(.dots) path")
        .count()
        == 2
    )
    page.get_by_role("link", name="Compare with the period before").click()
    expect(page.locator("#comparison h2")).to_have_text("Compared with the period before")
    first = page.locator("#comparison tbody tr").first.locator("td").all_inner_texts()
    assert first == ["5", "0", "–"]
    page.get_by_role("link", name="Stop comparing").click()
    expect(page.locator("#comparison")).to_have_count(0)


def test_labels_of_compared_charts_can_be_read(new_user):
    user = new_user(viewport={"width": 1440, "height": 900})
    report_runs(user)
    user.sign_in("/ui/agent?id=planner&compare_with=writer")
    sizes = user.page.locator("#comparison svg.chart").evaluate_all(
        """charts => charts.map(chart => {
            const size = getComputedStyle(chart.querySelector('text')).fontSize;
            return chart.getScreenCTM().a * parseFloat(size);
        })"""
    )
    assert len(sizes) == 4
    assert min(sizes) > 10


def test_recent_runs_have_rows_of_one_line(user):
    user.report(id="short", agent_id="planner", input="Short")
    user.report(id="long", agent_id="planner", input="A long question " * 40)
    user.open("/ui/agent?id=planner")
    heights = user.page.locator("#recent-runs tbody tr").evaluate_all("rows => rows.map(row => row.offsetHeight)")
    assert max(heights) - min(heights) <= 1


def test_tables_of_agents_need_no_sideways_scrolling_on_a_phone(new_user):
    user = new_user(viewport=SIZES["phone"])
    report_runs(user)
    user.sign_in("/ui/agents")
    page = user.page
    expect(page.locator("#agent-list tbody tr").first).to_contain_text("5")
    unit = page.locator("#agent-list td").first.evaluate("cell => getComputedStyle(cell, '::after').content")
    assert unit == '" runs"'
    for path in ("/ui/agents", "/ui/agent?id=planner"):
        user.open(path)
        hidden = page.locator(".scroll:has(.cards)").evaluate_all(
            "boxes => boxes.map(box => box.scrollWidth - box.clientWidth)"
        )
        assert hidden, path
        assert max(hidden) <= 0, path


def test_pages_of_agents_work_without_script(new_user):
    user = new_user(java_script_enabled=False)
    report_runs(user)
    user.sign_in("/ui/agents?q=plan")
    assert names_of(user.page) == ["planner"]
    user.page.get_by_role("link", name="planner").click()
    expect(user.page.locator("#total-runs")).to_have_text("5")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_pages_fit_screen_and_are_accessible(new_user, scheme, size):
    user = new_user(color_scheme=scheme, viewport=SIZES[size])
    report_runs(user)
    name = "an-agent-with-quite-a-long-name-" * 5
    user.report(id="long", agent_id=name, is_success=False, error="W" * 900, input="W" * 300)
    user.sign_in("/ui/agents")
    page = user.page
    for path in ("/ui/agents", "/ui/agent?id=planner&compare_with=writer", f"/ui/agent?id={name}&compare=period"):
        user.open(path)
        page.locator("details").evaluate_all("nodes => nodes.forEach(node => node.open = true)")
        assert page.evaluate("document.scrollingElement.scrollWidth") <= SIZES[size]["width"], path
        violations = Axe().run(page).response["violations"]
        assert [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in violations] == [], path
