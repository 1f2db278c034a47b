"""Files for operators in deploy/: alert rules, dashboard and configuration of Prometheus."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from xpander_server.observability.prometheus import RequestMetrics
from xpander_server.store import Store, Writer

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.fixture
def promtool() -> str:
    path = shutil.which("promtool")
    if path is None:
        assert not os.environ.get("CI"), "CI must install promtool"
        pytest.skip("promtool is not installed: apt-get install prometheus")
    return path


@pytest.fixture
def metric_names(tmp_path: Path) -> set[str]:
    """Names of the samples that the server exports."""
    store = Store(f"sqlite:///{tmp_path}/store.db")
    try:
        text = RequestMetrics(Writer(store)).exposition().decode()
    finally:
        store.close()
    names = {family.name for family in text_string_to_metric_families(text)}
    return {name + suffix for name in names for suffix in ("", "_total", "_bucket")}


def run(*command: str) -> None:
    process = subprocess.run(command, cwd=DEPLOY / "prometheus", capture_output=True, text=True, timeout=60)
    assert process.returncode == 0, process.stdout + process.stderr


def test_alert_rules_are_valid_and_fire(promtool: str):
    run(promtool, "check", "rules", "alerts.yml")
    run(promtool, "test", "rules", "alerts.test.yml")


def test_each_alert_has_a_test():
    rules = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"][0]["rules"]
    tests = yaml.safe_load((DEPLOY / "prometheus/alerts.test.yml").read_text())["tests"]
    tested = {test["alertname"] for group in tests for test in group["alert_rule_test"]}
    assert {rule["alert"] for rule in rules} == tested


def test_configuration_is_valid(promtool: str, tmp_path: Path):
    for name in ("prometheus.yml", "alerts.yml"):
        shutil.copy(DEPLOY / "prometheus" / name, tmp_path)
    (tmp_path / "key").write_text("xpr_key")
    run(promtool, "check", "config", str(tmp_path / "prometheus.yml"))


def test_expressions_name_only_exported_metrics(metric_names: set[str]):
    dashboard = json.loads((DEPLOY / "grafana/xpander-report.json").read_text())
    rules = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"][0]["rules"]
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    expressions += [rule["expr"] for rule in rules]
    used = {name for expression in expressions for name in re.findall(r"\b(?:xpander|process)_\w+", expression)}
    assert used
    assert used <= metric_names
