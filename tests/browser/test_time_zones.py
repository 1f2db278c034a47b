"""Time zone of the pages, and ages of times."""

import re
from datetime import UTC, datetime, timedelta

from playwright.sync_api import expect


def choose(page, name):
    page.get_by_label("Time zone").select_option(name)


def test_chosen_zone_applies_at_once_and_is_remembered(new_user):
    user = new_user(timezone_id="Pacific/Honolulu")
    user.report_at(datetime(2026, 7, 1, 22, 30, tzinfo=UTC), id="run")
    user.sign_in("/ui/history?sort=duration&since=2026-07-01T12%3A00")
    page = user.page
    expect(page.locator("tr[data-id] time")).to_have_text("2026-07-01 22:30:00")
    # The zone of the browser is offered first.
    page.get_by_label("Time zone").focus()
    assert page.get_by_label("Time zone").locator("option").all_inner_texts()[:2] == ["UTC", "Pacific/Honolulu"]
    choose(page, "Europe/Berlin")
    page.wait_for_url(re.compile("tz=Europe%2FBerlin"))
    expect(page.locator("tr[data-id] time")).to_have_text("2026-07-02 00:30:00")
    expect(page.get_by_role("columnheader", name="Time (Berlin)")).to_be_visible()
    expect(page.get_by_role("list", name="Filters in force")).to_contain_text("2026-07-01 14:00 (Berlin)")
    user.open("/ui/task?id=run")
    expect(page.get_by_text("Time (Berlin)")).to_be_visible()
    choose(page, "UTC")
    expect(page.get_by_text("Time (UTC)")).to_be_visible()


def test_zone_is_chosen_by_link_and_by_button_without_javascript(new_user):
    user = new_user(java_script_enabled=False)
    user.report_at(datetime(2026, 7, 1, 22, 30, tzinfo=UTC), id="run")
    user.sign_in("/ui/history?tz=Europe%2FBerlin")
    page = user.page
    expect(page.locator("tr[data-id] time")).to_have_text("00:30:00")
    expect(page.locator("tr.day")).to_have_text("Thu 2 Jul · 1 run")
    page.get_by_label("Agent", exact=True).fill("agent-1")
    page.get_by_role("button", name="Apply").first.click()
    expect(page.locator("tr[data-id] time")).to_have_text("00:30:00")
    choose(page, "Asia/Tokyo")
    page.get_by_role("button", name="Set").click()
    expect(page.locator("tr[data-id] time")).to_have_text("07:30:00")
    user.open("/ui/history?tz=No%2FSuch")
    expect(page.get_by_role("status").first).to_have_text(re.compile("Unknown time zone “No/Such”.*Asia/Tokyo"))


def test_recent_times_are_ages_that_stay_fresh(new_user):
    user = new_user()
    now = datetime.now(UTC)
    recent = now - timedelta(minutes=3, seconds=5)
    user.report_at(recent, id="recent", finished_at=recent.isoformat())
    user.report_at(now - timedelta(days=2), id="old")
    page = user.page
    page.clock.install(time=now)
    user.sign_in()
    time = page.locator('tr[data-id="recent"] time')
    expect(time.locator("[aria-hidden]")).to_have_text("3 min ago")
    exact = f"{now - timedelta(minutes=3, seconds=5):%Y-%m-%d %H:%M:%S} UTC"
    expect(time).to_have_attribute("title", exact)
    expect(time.locator(".visually-hidden")).to_have_text(exact)
    old = page.locator('tr[data-id="old"] time')
    expect(old).to_have_text(f"{now - timedelta(days=2):%H:%M:%S}")
    page.get_by_role("button", name="Live").click()  # the list itself does not change any more
    page.clock.fast_forward("02:00")
    expect(time.locator("[aria-hidden]")).to_have_text("5 min ago")
    user.open("/ui/task?id=recent")
    expect(page.locator(".facts time").first).to_have_text(re.compile(r"\d\d:\d\d:\d\d \(5 min ago\)$"))
