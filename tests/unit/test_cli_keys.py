"""xpander-report keys, on a store that nobody serves."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from xpander_sdk.cli import main


@pytest.fixture
def keys(tmp_path: Path):
    def run(*arguments: str):
        command, *rest = arguments
        return CliRunner().invoke(main, ["keys", command, "--store", f"sqlite:///{tmp_path}/store.db", *rest])

    return run


def listed(keys, *arguments: str) -> list[dict]:
    return [json.loads(line) for line in keys("list", "--json", *arguments).output.splitlines()]


def test_a_key_is_made_and_shown_once(keys):
    done = keys("create", "ci")
    assert done.exit_code == 0
    key = next(word for word in done.output.split() if word.startswith("xpr_"))
    (found,) = listed(keys)
    assert (found["organization_id"], found["name"], found["scopes"]) == ("local", "ci", ["report", "read"])
    assert (found["state"], found["expires_at"], found["last_used_at"]) == ("live", None, None)
    assert key not in keys("list").output + keys("list", "--json").output


def test_a_key_has_the_scopes_the_organisation_and_the_end_that_it_is_given(keys, monkeypatch):
    monkeypatch.setenv("XPANDER_ORGANIZATION_ID", "org")
    made = json.loads(
        keys("create", "ci", "--scope", "admin", "--scope", "report", "--expires", "90d", "--json").output
    )
    assert made.keys() == {"organization_id", "name", "key"}
    (found,) = listed(keys)
    assert (found["organization_id"], found["scopes"]) == ("org", ["report", "admin"])
    assert found["expires_at"] > found["created_at"]


def test_a_rotated_key_is_there_twice_until_its_grace_ends(keys):
    first = json.loads(keys("create", "ci", "--json").output)["key"]
    second = json.loads(keys("rotate", "ci", "--grace", "30m", "--json").output)["key"]
    assert first != second
    assert [found["expires_at"] is None for found in listed(keys)] == [False, True]
    keys("rotate", "ci", "--grace", "0s")
    assert [found["state"] for found in listed(keys, "--all")] == ["expired", "expired", "live"]


def test_a_revoked_key_is_listed_only_when_asked_for(keys):
    keys("create", "ci")
    assert "Revoked the key 'ci' of 'local'." in keys("revoke", "ci").output
    assert keys("list").output == "No keys.\n"
    assert [found["state"] for found in listed(keys, "--all")] == ["revoked"]
    assert "revoked" in keys("list", "--all").output


def test_the_keys_of_one_organisation(keys):
    for organization_id in ("one", "two"):
        keys("create", "ci", "--organization-id", organization_id)
    assert [found["organization_id"] for found in listed(keys)] == ["one", "two"]
    assert [found["organization_id"] for found in listed(keys, "--organization-id", "two")] == ["two"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("create", "taken"), 2, "has a key 'taken' already"),
        (("create", ""), 2, "1 to 100 printable characters"),
        (("create", "a", "--scope", "write"), 2, "'write' is not one of"),
        (("create", "a", "--expires", "soon"), 2, "write 90d, 24h, 30m or 45s"),
        (("revoke", "nothing"), 1, "has no key 'nothing'"),
        (("rotate", "nothing"), 1, "has no key 'nothing'"),
        (("list", "--store", "mysql://x"), 2, "no store that this version knows"),
    ],
)
def test_what_goes_wrong_is_told(keys, arguments, code, told):
    keys("create", "taken")
    done = keys(*arguments)
    assert (done.exit_code, told in done.output) == (code, True), done.output
