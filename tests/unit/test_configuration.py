import traceback

import pytest

from xpander_sdk import Configuration, Tasks


def test_the_cloud_is_the_default():
    assert Configuration().base_url == "https://inbound.xpander.ai"


@pytest.mark.parametrize(("is_stg", "host"), [("true", "inbound.stg.xpander.ai"), ("True", "inbound.xpander.ai")])
def test_staging_is_meant_only_by_exactly_true(monkeypatch, is_stg, host):
    monkeypatch.setenv("IS_STG", is_stg)
    assert Configuration().base_url == f"https://{host}"


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("XPANDER_API_KEY", "k")
    monkeypatch.setenv("XPANDER_ORGANIZATION_ID", "o")
    monkeypatch.setenv("XPANDER_BASE_URL", "http://127.0.0.1:8100")
    found = Configuration()
    assert (found.api_key, found.organization_id, found.base_url) == ("k", "o", "http://127.0.0.1:8100")


def test_what_is_given_comes_before_the_environment(monkeypatch):
    monkeypatch.setenv("XPANDER_API_KEY", "from outside")
    monkeypatch.setenv("XPANDER_BASE_URL", "http://127.0.0.1:1")
    found = Configuration(api_key="given", base_url="http://127.0.0.1:2")
    assert (found.api_key, found.base_url) == ("given", "http://127.0.0.1:2")


def test_the_environment_is_read_at_creation(monkeypatch):
    monkeypatch.setenv("XPANDER_API_KEY", "first")
    found = Configuration()
    monkeypatch.setenv("XPANDER_API_KEY", "second")
    assert found.api_key == "first"
    assert Configuration().api_key == "second"


def test_an_empty_setting_is_none(monkeypatch):
    monkeypatch.setenv("XPANDER_API_KEY", "")
    assert Configuration(organization_id="").api_key is None


def test_a_url_without_a_scheme_is_https():
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
def test_the_organisation_is_in_the_path_of_a_self_hosted_controller_alone(base_url, full):
    assert Configuration(base_url=base_url, organization_id="org-1").get_full_url() == full


def test_a_controller_without_an_organisation_is_an_error():
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
def test_a_base_url_that_cannot_be_is_refused(base_url):
    with pytest.raises(ValueError, match="base_url") as refused:
        Configuration(base_url=base_url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("name", ["api_key", "organization_id", "agent_id", "base_url"])
def test_a_setting_of_a_wrong_type_is_named(name):
    with pytest.raises(ValueError, match=name):
        Configuration(**{name: 5})


@pytest.mark.parametrize("key", ["hunter2\n", " hunter2", "ключ", "a\x00b"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(key):
    with pytest.raises(ValueError, match="api_key") as refused:
        Configuration(api_key=key)
    assert key.strip() not in str(refused.value)


def test_an_unknown_setting_is_refused():
    with pytest.raises(TypeError, match="bas_url"):
        Configuration(bas_url="https://example.com")


def test_it_cannot_be_changed():
    with pytest.raises(AttributeError):
        Configuration().api_key = "other"


def test_its_repr_hides_the_key():
    assert "hunter2" not in repr(Configuration(api_key="hunter2"))


def test_a_file_stays_the_same_after_a_change_of_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    configuration = Configuration(base_url="sqlite:///runs.db")
    assert configuration.base_url == f"sqlite:///{tmp_path}/runs.db"


@pytest.mark.parametrize("base_url", ["runs.db", "sqlite:runs.db", "sqlite:/runs", "sqlite:///:memory:"])
def test_what_looks_like_a_file_is_told_how_to_write_it(base_url):
    with pytest.raises(ValueError, match="write sqlite:///runs.db"):
        Configuration(base_url=base_url)


DATABASE = "postgresql://user:hunter2@127.0.0.1:1/db?sslmode=disable&password=hunter2"


def test_the_password_of_a_database_is_not_shown():
    configuration = Configuration(base_url=DATABASE)
    assert configuration.base_url == DATABASE
    assert configuration.target == "postgresql://user:***@127.0.0.1:1/db?sslmode=disable&password=***"
    assert "hunter2" not in repr(configuration)


def test_a_database_that_does_not_answer_is_named_without_its_password(caplog):
    with pytest.raises(ValueError, match="Cannot open the store") as refused:
        Tasks(Configuration(base_url=DATABASE)).get("t")
    told = "".join(traceback.format_exception(refused.value)) + caplog.text
    assert "127.0.0.1" in told
    assert "hunter2" not in told


def test_files_and_databases_are_embedded():
    assert Configuration(base_url="sqlite:///runs.db").is_embedded
    assert Configuration(base_url="postgresql://user@host/db").is_embedded
    assert not Configuration(base_url="http://127.0.0.1:8100").is_embedded
