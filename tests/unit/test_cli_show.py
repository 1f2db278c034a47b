"""Command `show`, and the tree of the provider's response."""

import json
from typing import Any

from rich.console import Console

from xpander_sdk.cli.render.tree import json_tree


def tree_lines(value: Any, depth: int) -> list[str]:
    console = Console(width=100, record=True, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(json_tree("response", value, depth))
    return capture.get().splitlines()


def test_show_prints_the_task_with_the_providers_response(cli):
    cli("send", "--agent-id", "a", "--from", "-", input='{"id": "r", "llm_response": {"model": "m"}}')
    output = cli("show", "r").output
    assert "completed" in output
    assert 'model: "m"' in output


def test_show_unfolds_the_response_to_the_given_depth(cli):
    run = {"id": "r", "llm_response": {"a": {"b": {"c": {"d": {"e": 1}}}}}}
    cli("send", "--agent-id", "a", "--from", "-", input=json.dumps(run))
    assert "(… 1 key)" in cli("show", "r").output
    assert "e: 1" in cli("show", "r", "--depth", "5").output


def test_tree_is_folded_below_its_depth():
    value = {"a": {"b": [1, {"c": None}]}, "d": []}
    assert tree_lines(value, 0) == ["response (… 2 keys)"]
    assert tree_lines(value, 2) == [
        "response (2 keys)", "├── a (1 key)", "│   └── b (… 2 items)", "└── d (0 items)",
    ]  # fmt: skip
    assert "            └── c: null" in "\n".join(tree_lines(value, 9)).replace("│", " ")


def test_tree_counts_items_and_characters_beyond_its_limits():
    assert tree_lines(list(range(250)), 1)[-1] == "└── … 150 more"
    assert "… 500 more characters" in " ".join(" ".join(tree_lines({"text": "x" * 2_500}, 1)).split())
    assert len(tree_lines([[]] * 3, 100)) == 4


def test_show_prints_error_calls_and_context(cli):
    run = {
        "id": "r", "is_success": False, "error": "the model\ndid not respond", "user_id": "u7",
        "conversation_id": "chat-42", "parent_task_id": "p1", "metadata": {"environment": "test"},
        "calls": [{"provider": "openai", "model": "gpt-4o", "tokens": {"prompt_tokens": 1234}, "cost": 0.5}],
    }  # fmt: skip
    cli("send", "--agent-id", "a", "--from", "-", input=json.dumps(run))
    output = cli("show", "r").output
    for text in ("the model", "u7", "chat-42", "p1", "environment=test", "openai", "gpt-4o", "1,234", "$0.500000"):
        assert text in output
    assert json.loads(cli("show", "r", "--json").output)["calls"][0]["cost"] == 0.5


def test_show_has_no_column_for_costs_of_calls_that_were_not_reported(cli):
    run = {"id": "r", "calls": [{"model": "gpt-4o", "tokens": {"prompt_tokens": 1234}}]}
    cli("send", "--agent-id", "a", "--from", "-", input=json.dumps(run))
    output = cli("show", "r").output
    assert "$0.003085" in output  # of the task
    assert "reported cost" not in output
