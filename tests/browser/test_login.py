"""Sign-in and sign-out."""

from urllib.parse import urlsplit

from playwright.sync_api import expect


def test_sign_in_opens_requested_page_and_hides_key(new_user):
    user = new_user()
    requested_urls = []
    user.page.on("request", lambda request: requested_urls.append(request.url))
    user.sign_in("/ui/metrics?last=30d")
    assert user.page.url == user.url + "/ui/metrics?last=30d"
    assert [url for url in requested_urls if user.api_key in url] == []
    assert user.api_key not in user.server.log.read_text()
    (cookie,) = user.page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/ui")
    assert user.api_key not in cookie["value"]


def test_unknown_key_is_rejected_with_message(new_user):
    user = new_user()
    user.expected_messages.append("401")
    user.open("/ui/history")
    user.page.get_by_label("API key").fill("xpr_wrong")
    user.page.get_by_role("button", name="Sign in").click()
    expect(user.page.get_by_role("alert")).to_have_text("Unknown or expired key.")
    assert user.page.context.cookies() == []


def test_key_without_scope_read_is_rejected_with_message(new_user):
    user = new_user()
    user.expected_messages.append("403")
    user.open("/")
    user.page.get_by_label("API key").fill(user.server.create_key(user.organization_id, "report", name="worker"))
    user.page.get_by_role("button", name="Sign in").click()
    expect(user.page.get_by_role("alert")).to_contain_text("has no scope 'read'")


def test_cookie_is_invalid_after_sign_out(user):
    cookies = user.page.context.cookies()
    user.page.get_by_role("button", name="Sign out").click()
    expect(user.page.get_by_label("API key")).to_be_visible()
    user.page.context.add_cookies(cookies)
    user.open("/ui/history")
    assert urlsplit(user.page.url).path == "/ui/sign-in"


def test_live_page_redirects_to_sign_in_when_key_is_revoked(user):
    user.expected_messages.append("401")
    user.server.revoke_key(user.organization_id)
    user.page.wait_for_url("**/ui/sign-in?*")
