"""`xpander-report conform`: our server keeps all promises, and each planted bug breaks one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve

from contract.mutants import MUTANTS, Mutant, copy_with_bug
from xpander_sdk import Configuration
from xpander_sdk.conformance.promises import PROMISES
from xpander_sdk.conformance.runner import check_promises


def test_every_target_keeps_all_promises(target: Configuration):
    verdicts = {verdict.promise: (verdict.state, verdict.reason) for verdict in check_promises(target)}
    expected = {promise.name: ("kept", "") for promise in PROMISES}
    if target.current_key() is None:
        expected["keys"] = ("not offered", "no key is needed")
    assert verdicts == expected


def test_promises_hold_for_an_agent_with_other_runs(embedded: Configuration):
    for _ in range(2):
        states = {verdict.state for verdict in check_promises(embedded, "agent-123")}
        assert states == {"kept", "not offered"}


def test_backend_that_does_not_answer_breaks_every_promise():
    configuration = Configuration(base_url="http://127.0.0.1:9", api_key="key")
    verdicts = list(check_promises(configuration))
    assert {verdict.state for verdict in verdicts} == {"broken"}
    assert all("127.0.0.1:9" in verdict.reason for verdict in verdicts)


def test_key_without_scope_breaks_promises_with_the_reason_of_the_backend(server):
    configuration = evolve(server.configuration, api_key="a-key-that-the-server-does-not-know")
    verdict = next(check_promises(configuration))
    assert verdict.state == "broken"
    assert "401" in verdict.reason
    assert "a-key-that" not in verdict.reason


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_planted_bug_breaks_a_promise(mutant: Mutant, tmp_path: Path):
    environment = copy_with_bug(tmp_path / "copy", mutant)
    command = [sys.executable, "-m", "xpander_sdk.cli", "conform", "--json", "--base-url", f"sqlite:///{tmp_path}/x.db"]
    process = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    broken = [line for line in map(json.loads, process.stdout.splitlines()) if line["state"] == "broken"]
    assert process.returncode == (1 if mutant.old else 0), process.stdout + process.stderr
    assert bool(broken) == bool(mutant.old)
