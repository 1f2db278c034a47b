import traceback

import pytest

from xpander_sdk import Configuration, Tasks


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


def test_empty_setting_is_none(monkeypatch):
    monkeypatch.setenv("XPANDER_API_KEY", "")
    assert Configuration(organization_id="").api_key is None


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
