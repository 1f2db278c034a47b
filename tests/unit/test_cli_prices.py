"""Commands `prices …` and `reprice`, on a store without a server."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from xpander_sdk import Backend, Configuration, Tokens
from xpander_sdk.cli import main
from xpander_server.store import Store

Run = Callable[..., Result]


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """Return the URL of an empty store."""
    url = f"sqlite:///{tmp_path}/store.db"
    Store(url).close()
    return url


@pytest.fixture
def run(store_url: str) -> Run:
    """Return a function that runs a command on a store."""

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, [*arguments, "--store", store_url])

    return run


def _prices(run: Run, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run("prices", "list", "--json", *arguments).output.splitlines()]


def test_price_is_set_listed_and_removed(run: Run) -> None:
    assert run("prices", "list").output == "No prices.\n"
    result = run("prices", "set", "My-Llama", "--input", "0.20", "--output", "0.6", "--cache-read", "0")
    assert (result.exit_code, result.output) == (
        0,
        "Set the price of 'my-llama' for 'local'. Command `reprice` applies it to stored runs.\n",
    )
    assert _prices(run) == [
        {
            "model": "my-llama",
            "provider": None,
            "input": 0.2,
            "output": 0.6,
            "cache_read": 0.0,
            "cache_write": None,
        }
    ]
    table = run("prices", "list").output
    assert "my-llama" in table
    assert "any" in table
    assert run("prices", "remove", "my-llama").output == "Removed the price of 'my-llama' for 'local'.\n"
    assert _prices(run) == []


def test_prices_belong_to_an_organization_and_a_provider(run: Run) -> None:
    options = ("--organization-id", "acme")
    run("prices", "set", "ft:gpt-4o*", "--provider", "OpenAI", "--input", "3.75", "--output", "15", *options)
    assert _prices(run) == []
    (price,) = _prices(run, *options)
    assert (price["model"], price["provider"], price["input"]) == ("ft:gpt-4o*", "openai", 3.75)
    missing = run("prices", "remove", "ft:gpt-4o*", *options)
    assert missing.exit_code == 1
    assert "the organization 'acme' has no price for 'ft:gpt-4o*'" in missing.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("m", "--input", "-1", "--output", "1"), "a price must be dollars from 0 to 1,000,000, got '-1'; write 2.50"),
        (("m", "--input", "NaN", "--output", "1"), "got 'NaN'"),
        (("m", "--input", "cheap", "--output", "1"), "got 'cheap'"),
        (("m", "--input", "1e9", "--output", "1"), "got '1e9'"),
        ((" ", "--input", "1", "--output", "1"), "the model must be 1 to 255 printable characters"),
        (("m", "--input", "1"), "Missing option '--output'"),
    ],
)
def test_invalid_prices_are_refused(run: Run, arguments: tuple[str, ...], message: str) -> None:
    result = run("prices", "set", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def _report(store_url: str, model: str) -> None:
    backend = Backend(Configuration(base_url=store_url))
    tokens = Tokens(prompt_tokens=1_000, completion_tokens=100)
    backend.report_external_task(agent_id="agent", llm_response={"model": model}, tokens=tokens)


def _total(store_url: str) -> float | None:
    return Backend(Configuration(base_url=store_url)).metrics("agent").cost.total


def test_stored_runs_are_repriced(run: Run, store_url: str) -> None:
    _report(store_url, "my-llama")
    run("prices", "set", "my-llama", "--input", "1", "--output", "2")
    assert run("reprice", "--dry-run").output == ("Examined 1 run; would change the cost of 1, of which 1 had none.\n")
    assert _total(store_url) is None
    assert run("reprice", "--since", "1d").output == "Examined 1 run; changed the cost of 1, of which 1 had none.\n"
    assert _total(store_url) == pytest.approx(0.0012)
    run("prices", "set", "my-llama", "--input", "2", "--output", "2")
    assert run("reprice").output == "Examined 0 runs; changed the cost of 0, of which 0 had none.\n"
    assert run("reprice", "--model", "my-llama", "--since", "2026-01-01").exit_code == 0
    assert _total(store_url) == pytest.approx(0.0022)


def test_invalid_time_is_refused(run: Run) -> None:
    result = run("reprice", "--since", "yesterday")
    assert result.exit_code == 2
    assert "since" in result.output
