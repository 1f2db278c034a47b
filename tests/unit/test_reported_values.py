"""Task of a report whose response lacks values: they are those of the report, without decoding it again."""

import copy
import json
import pickle
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st

from xpander_sdk import Configuration, Task, Tokens
from xpander_sdk._records import Deferred
from xpander_sdk.client.task_record import read_reported_task
from xpander_sdk.reporting.report import Report, new_report

_TEXTS = st.text(max_size=5) | st.sampled_from(["\ud800", "é", "a\0b"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(_TEXTS, inner, max_size=3)
        | st.tuples(inner, inner)
        | st.sets(_TEXTS)
    ),
    max_leaves=8,
)
_ARGUMENTS = st.fixed_dictionaries(
    {"llm_response": _JSON},
    optional={
        "id": st.sampled_from(["run-1", 17]),
        "input": _TEXTS | st.sampled_from([[{"role": "user", "content": "hi"}], {"a": (1, 2)}]),
        "result": _TEXTS | st.sampled_from([{"a": [1.5]}, b"bytes", 3]),
        "tokens": st.builds(lambda count: Tokens(prompt_tokens=count), st.integers(0, 9) | st.none()),
        "is_success": st.sampled_from([True, False, None]),
        "duration": st.sampled_from([0, 4.7, -1, float("nan"), None]),
        "used_tools": st.sampled_from([[], ["a", "é"], ("a",), None, [{"name": "b"}]]),
        "error": _TEXTS | st.just(ValueError("why")),
        "calls": st.sampled_from([[], [{"model": "m", "tokens": {"prompt_tokens": 3}, "cost": 1, "duration": 2}]]),
        "user_id": st.sampled_from(["u", 5]),
        "metadata": st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["x", 1, True]), max_size=2),
        "created_at": st.just("2026-01-31T09:30:00Z"),
    },
)


def _resolved(values: dict[str, Any]) -> dict[str, str]:
    """Return the text of each value that a task has: it shows the types, and NaN equals NaN."""
    resolved = {name: value.compute() if isinstance(value, Deferred) else value for name, value in values.items()}
    return {name: repr(value) for name, value in resolved.items() if value is not None}


@given(_ARGUMENTS, st.sampled_from([{}, {"id": None, "result": "other", "llm_response": {"a": 1}}, {"tokens": 5}]))
def test_values_of_a_new_report_are_those_of_its_decoded_content(
    arguments: dict[str, Any], body: dict[str, Any]
) -> None:
    report = new_report("agent-1", **arguments)
    decoded = attrs.evolve(report, source=None)
    assert report.values is not None
    assert decoded.values is None
    actual, expected = read_reported_task(body, report), read_reported_task(body, decoded)
    assert _resolved(actual.values) == _resolved(expected.values)
    assert (repr(actual.extra), actual.unusual) == (repr(expected.extra), expected.unusual)


def _task(report: Report) -> Task:
    return Task._from_record(Configuration(base_url="sqlite:///a.db"), read_reported_task({}, report))


def test_report_with_another_content_does_not_have_the_values_of_the_first_one() -> None:
    report = new_report("agent-1", id="run-1", result="secret", llm_response={"a": 1})
    masked = attrs.evolve(report, content=json.dumps({"id": "run-1", "result": "masked"}).encode())
    assert _task(masked).result == "masked"
    assert _task(masked).llm_response is None


def test_response_is_decoded_when_it_is_read_and_independent_of_the_caller() -> None:
    response = {"choices": [{"text": "a"}], "pair": (1, 2)}
    report = new_report("agent-1", llm_response=response)
    task = _task(report)
    response["choices"].append("changed later")  # type: ignore[attr-defined]
    assert task.llm_response == {"choices": [{"text": "a"}], "pair": [1, 2]}
    assert task.llm_response is task.llm_response


def test_forms_of_a_task_contain_the_response_before_it_was_read() -> None:
    response, report = {"a": [1]}, new_report("agent-1", id="run-1", llm_response={"a": [1]})
    assert pickle.loads(pickle.dumps(_task(report))).llm_response == response
    assert copy.deepcopy(_task(report)).llm_response == response
    assert attrs.evolve(_task(report), title="t").llm_response == response
    assert attrs.asdict(_task(report))["llm_response"] == response
    assert _task(report).to_dict()["llm_response"] == response
    assert _task(report) == _task(report)
    assert "llm_response" in _task(report)._repr_html_()


def test_lists_of_a_task_are_not_those_of_the_report() -> None:
    report = new_report("agent-1", used_tools=["a"], metadata={"a": "b"})
    task = _task(report)
    task.used_tools.append("b")
    task.metadata["c"] = "d"
    assert _task(report).used_tools == ["a"]
    assert _task(report).metadata == {"a": "b"}
