"""Commands `keys …`, on a store without a server."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from xpander_sdk.cli import main
from xpander_server.store import Store


@pytest.fixture
def keys(tmp_path: Path) -> Callable[..., Result]:
    """Return a function that runs `xpander-report keys` on an empty store."""
    url = f"sqlite:///{tmp_path}/store.db"
    Store(url).close()

    def run(command: str, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["keys", command, "--store", url, *arguments])

    return run


def list_keys(keys, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in keys("list", "--json", *arguments).output.splitlines()]


def test_a_new_key_is_shown_once(keys):
    result = keys("create", "ci")
    assert result.exit_code == 0
    key = next(word for word in result.output.split() if word.startswith("xpr_"))
    (row,) = list_keys(keys)
    assert (row["organization_id"], row["name"], row["scopes"]) == ("local", "ci", ["report", "read"])
    assert (row["state"], row["expires_at"], row["last_used_at"]) == ("live", None, None)
    assert key not in keys("list").output + keys("list", "--json").output


def test_options_set_scopes_organization_and_expiry(keys, monkeypatch):
    monkeypatch.setenv("XPANDER_ORGANIZATION_ID", "org")
    created = json.loads(
        keys("create", "ci", "--scope", "admin", "--scope", "report", "--expires", "90d", "--json").output
    )
    assert created.keys() == {"organization_id", "name", "key"}
    (row,) = list_keys(keys)
    assert (row["organization_id"], row["scopes"]) == ("org", ["report", "admin"])
    assert row["expires_at"] > row["created_at"]


def test_both_secrets_of_a_rotated_key_are_valid_for_the_grace_period(keys):
    first = json.loads(keys("create", "ci", "--json").output)["key"]
    second = json.loads(keys("rotate", "ci", "--grace", "30m", "--json").output)["key"]
    assert first != second
    assert [row["expires_at"] is None for row in list_keys(keys)] == [False, True]
    keys("rotate", "ci", "--grace", "0s")
    assert [row["state"] for row in list_keys(keys, "--all")] == ["expired", "expired", "live"]


def test_a_revoked_key_is_listed_only_with_all(keys):
    keys("create", "ci")
    assert "Revoked the key 'ci' of 'local'." in keys("revoke", "ci").output
    assert keys("list").output == "No keys.\n"
    assert [row["state"] for row in list_keys(keys, "--all")] == ["revoked"]
    assert "revoked" in keys("list", "--all").output


def test_list_can_be_limited_to_one_organization(keys):
    for organization_id in ("one", "two"):
        keys("create", "ci", "--organization-id", organization_id)
    assert [row["organization_id"] for row in list_keys(keys)] == ["one", "two"]
    assert [row["organization_id"] for row in list_keys(keys, "--organization-id", "two")] == ["two"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ("create", "taken"),
            2,
            "has a key 'taken' already; choose another name, or replace its secret with `keys rotate`",
        ),
        (("create", ""), 2, "1 to 100 printable characters"),
        (("create", "a", "--scope", "write"), 2, "'write' is not one of"),
        (("create", "a", "--expires", "soon"), 2, "got 'soon'; write 90d, 24h, 30m or 45s"),
        (("revoke", "nothing"), 1, "has no key 'nothing'"),
        (("rotate", "nothing"), 1, "has no key 'nothing'"),
        (("list", "--store", "mysql://x"), 2, "is not the URL of a store"),
    ],
)
def test_errors_have_an_exit_code_and_a_message(keys, arguments, code, message):
    keys("create", "taken")
    result = keys(*arguments)
    assert (result.exit_code, message in result.output) == (code, True), result.output


@pytest.mark.parametrize("command", [("list",), ("revoke", "ci"), ("rotate", "ci")])
def test_commands_for_known_keys_refuse_a_missing_store(tmp_path: Path, command: tuple[str, ...]):
    path = tmp_path / "wrong.db"
    result = CliRunner().invoke(main, ["keys", *command, "--store", f"sqlite:///{path}"])
    assert result.exit_code == 2
    assert f"there is no store at {path}; name the store with --store or XPANDER_STORE" in result.output
    assert not path.exists()


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_create_asks_before_it_creates_a_store(tmp_path: Path, answer: str, code: int):
    path = tmp_path / "new.db"
    result = CliRunner().invoke(main, ["keys", "create", "ci", "--store", f"sqlite:///{path}"], input=answer)
    assert f"There is no store at {path}. Create one?" in result.output
    assert (result.exit_code, path.exists()) == (code, code == 0)


def test_create_with_yes_creates_a_store(tmp_path: Path):
    result = CliRunner().invoke(main, ["keys", "create", "ci", "--yes", "--store", f"sqlite:///{tmp_path}/new.db"])
    assert result.exit_code == 0


def test_help_states_that_an_admin_key_erases_tasks(keys):
    assert "admin reads the server's state and erases tasks" in " ".join(keys("create", "--help").output.split())
