import traceback

import pytest

from xpander_sdk import Backend, Configuration, OutboxSettings, Tasks, TransportSettings


def test_default_backend_is_the_cloud():
    assert Configuration().base_url == "https://inbound.xpander.ai"


@pytest.mark.parametrize(("is_stg", "host"), [("true", "inbound.stg.xpander.ai"), ("True", "inbound.xpander.ai")])
def test_staging_needs_exactly_true(monkeypatch, is_stg, host):
    monkeypatch.setenv("IS_STG", is_stg)
    assert Configuration().base_url == f"https://{host}"


def test_environment_supplies_settings(monkeypatch):
    monkeypatch.setenv("XPANDER_API_KEY", "k")
    monkeypatch.setenv("XPANDER_ORGANIZATION_ID", "o")
    monkeypatch.setenv("XPANDER_BASE_URL", "http://127.0.0.1:8100")
    configuration = Configuration()
    assert (configuration.api_key, configuration.organization_id, configuration.base_url) == (
        "k",
        "o",
        "http://127.0.0.1:8100",
    )


def test_arguments_override_environment(monkeypatch):
    monkeypatch.setenv("XPANDER_API_KEY", "from environment")
    monkeypatch.setenv("XPANDER_BASE_URL", "http://127.0.0.1:1")
    configuration = Configuration(api_key="argument", base_url="http://127.0.0.1:2")
    assert (configuration.api_key, configuration.base_url) == ("argument", "http://127.0.0.1:2")


def test_environment_is_read_at_creation(monkeypatch):
    monkeypatch.setenv("XPANDER_API_KEY", "first")
    configuration = Configuration()
    monkeypatch.setenv("XPANDER_API_KEY", "second")
    assert configuration.api_key == "first"
    assert Configuration().api_key == "second"


@pytest.mark.parametrize("value", ["", "  "])
@pytest.mark.parametrize(
    "variable", ["XPANDER_API_KEY", "XPANDER_API_KEY_FILE", "XPANDER_ORGANIZATION_ID", "XPANDER_BASE_URL",
                 "XPANDER_OUTBOX", "XPANDER_ALLOW_PLAIN_HTTP"],
)  # fmt: skip
def test_empty_variable_is_rejected_by_name(variable, value, monkeypatch):
    # Otherwise, an unset variable of a deployment file would send the key and the runs to xpander.ai's cloud.
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=f"{variable} must not be empty"):
        Configuration()


@pytest.mark.parametrize("value", ["", "  "])
@pytest.mark.parametrize("name", ["api_key", "organization_id", "base_url", "agent_id"])
def test_empty_setting_is_rejected_by_name(name, value):
    with pytest.raises(ValueError, match=f"{name} must"):
        Configuration(**{name: value})


def test_empty_outbox_is_rejected():
    with pytest.raises(ValueError, match="file of the outbox must not be empty"):
        Configuration(outbox="")
    with pytest.raises(ValueError, match="file of the outbox must not be empty"):
        OutboxSettings(file="")


def test_empty_variable_is_not_read_if_setting_is_passed(monkeypatch):
    monkeypatch.setenv("XPANDER_BASE_URL", "")
    monkeypatch.setenv("XPANDER_API_KEY", "")
    assert Configuration(base_url="sqlite:///runs.db", api_key="k").is_embedded


def test_empty_agent_variable_is_rejected(monkeypatch):
    monkeypatch.setenv("XPANDER_AGENT_ID", "")
    with pytest.raises(ValueError, match="XPANDER_AGENT_ID must not be empty"):
        Backend(Configuration(base_url="sqlite:///runs.db")).report_external_task(result="r")


@pytest.mark.parametrize("key", [lambda: "", lambda: " \t"])
def test_empty_key_of_callable_is_rejected(key):
    with pytest.raises(ValueError, match="callable of api_key must return a key that is a key, got an empty text"):
        Configuration(api_key=key).current_key()


@pytest.mark.parametrize(
    "base_url",
    ["http://127.0.0.1:8100", "http://127.8.9.10", "http://[::1]:8100", "http://localhost", "http://LOCALHOST.:80/base",
     "https://reports.example.com", "sqlite:///runs.db", "postgresql://user:p@db.example.com/runs"],
)  # fmt: skip
def test_key_is_protected_on_this_machine_and_by_tls(base_url):
    Configuration(base_url=base_url).check_key_protection()


@pytest.mark.parametrize(
    "base_url",
    ["http://reports.example.com", "http://10.0.0.7:8100", "http://127.0.0.1.example.com", "http://localhost.example.com",
     "HTTP://xpander:8100", "http://[fe80::1]", "http://0.0.0.0", "http://2130706433"],
)  # fmt: skip
def test_plain_http_to_other_machine_is_refused(base_url):
    with pytest.raises(ValueError, match="base_url must begin with https://.*XPANDER_ALLOW_PLAIN_HTTP=1"):
        Configuration(base_url=base_url).check_key_protection()
    allowing = TransportSettings(allow_plain_http=True)
    Configuration(base_url=base_url, transport=allowing).check_key_protection()


@pytest.mark.parametrize(("word", "is_allowed"), [("1", True), ("true", True), ("0", False), ("No", False)])
def test_plain_http_is_allowed_by_variable(word, is_allowed, monkeypatch):
    monkeypatch.setenv("XPANDER_ALLOW_PLAIN_HTTP", word)
    assert Configuration().transport.allow_plain_http is is_allowed
    assert TransportSettings(allow_plain_http=not is_allowed).allow_plain_http is not is_allowed


def test_other_words_for_plain_http_are_rejected(monkeypatch):
    monkeypatch.setenv("XPANDER_ALLOW_PLAIN_HTTP", "maybe")
    with pytest.raises(ValueError, match="XPANDER_ALLOW_PLAIN_HTTP must be 1 or 0, got 'maybe'"):
        Configuration()
    with pytest.raises(ValueError, match="allow_plain_http must be a bool, got str"):
        TransportSettings(allow_plain_http="1")


def test_url_without_scheme_becomes_https():
    assert Configuration(base_url="example.com").base_url == "https://example.com"


@pytest.mark.parametrize(
    ("base_url", "full"),
    [
        ("https://inbound.xpander.ai", "https://inbound.xpander.ai"),
        ("https://inbound.xpander.ai/", "https://inbound.xpander.ai"),
        ("https://proxy.example.com/base/", "https://proxy.example.com/base"),
        ("https://agent-controller.example.com", "https://agent-controller.example.com/org-1"),
        ("https://my-agent-controller.example.com/", "https://my-agent-controller.example.com/org-1"),
        ("http://10.0.0.7:9016", "http://10.0.0.7:9016/org-1"),
        ("https://example.com/agent-controller", "https://example.com/agent-controller/org-1"),
        ("https://example.com/x/agent-controller", "https://example.com/x/agent-controller"),
    ],
)
def test_only_url_of_self_hosted_controller_contains_organization(base_url, full):
    assert Configuration(base_url=base_url, organization_id="org-1").get_full_url() == full


def test_self_hosted_controller_needs_organization():
    with pytest.raises(ValueError, match="XPANDER_ORGANIZATION_ID"):
        Configuration(base_url="http://127.0.0.1:9016").get_full_url()


@pytest.mark.parametrize(
    "base_url",
    [
        "ftp://example.com",
        "https://",
        "https://user:secret@example.com",
        "http://h:99999",
        "https://h/?a=b",
        "sqlite://",
        "postgresql://user:secret@host",
        "postgresql://user:secret@host:99999/db",
        "postgresql://user:secret@host/db#x",
        "postgresql://user:secret@[host/db",
        "mysql://user:secret@host/db",
    ],
)
def test_invalid_base_url_is_rejected_without_showing_password(base_url):
    with pytest.raises(ValueError, match="base_url") as caught:
        Configuration(base_url=base_url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["api_key", "organization_id", "agent_id", "base_url"])
def test_wrong_type_of_setting_is_rejected_by_name(name):
    with pytest.raises(ValueError, match=name):
        Configuration(**{name: 5})


@pytest.mark.parametrize("key", ["hunter2\n", " hunter2", "ключ", "a\x00b"])
def test_invalid_key_is_rejected_without_showing_it(key):
    with pytest.raises(ValueError, match="api_key") as caught:
        Configuration(api_key=key)
    assert key.strip() not in str(caught.value)


def test_unknown_setting_is_rejected():
    with pytest.raises(TypeError, match="bas_url"):
        Configuration(bas_url="https://example.com")


def test_configuration_is_immutable():
    with pytest.raises(AttributeError):
        Configuration().api_key = "other"


def test_repr_hides_key():
    assert "hunter2" not in repr(Configuration(api_key="hunter2"))


def test_file_url_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    configuration = Configuration(base_url="sqlite:///runs.db")
    assert configuration.base_url == f"sqlite:///{tmp_path}/runs.db"


@pytest.mark.parametrize("base_url", ["runs.db", "sqlite:runs.db", "sqlite:/runs", "sqlite:///:memory:"])
def test_file_path_is_rejected_with_fix(base_url):
    with pytest.raises(ValueError, match="write sqlite:///runs.db"):
        Configuration(base_url=base_url)


DATABASE = "postgresql://user:hunter2@127.0.0.1:1/db?sslmode=disable&password=hunter2"


def test_password_of_database_is_hidden():
    configuration = Configuration(base_url=DATABASE)
    assert configuration.base_url == DATABASE
    assert configuration.target == "postgresql://user:***@127.0.0.1:1/db?sslmode=disable&password=***"
    assert "hunter2" not in repr(configuration)


def test_unreachable_database_is_named_without_password(caplog):
    with pytest.raises(ValueError, match="Cannot open the store") as caught:
        Tasks(Configuration(base_url=DATABASE)).get("t")
    output = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "127.0.0.1" in output
    assert "hunter2" not in output


def test_files_and_databases_are_embedded_backends():
    assert Configuration(base_url="sqlite:///runs.db").is_embedded
    assert Configuration(base_url="postgresql://user@host/db").is_embedded
    assert not Configuration(base_url="http://127.0.0.1:8100").is_embedded
