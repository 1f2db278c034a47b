"""The fields of a report are declared once: each form has all of them, and sends them."""

import asyncio
import inspect
import json
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from xpander_sdk import Backend, Configuration, Receipt, Task
from xpander_sdk.client.operations import Operation
from xpander_sdk.reporting import fields
from xpander_sdk.reporting.report import Report

CONFIGURATION = Configuration(base_url="sqlite:///unused.db")
BACKEND = Backend(CONFIGURATION)
DOCUMENTED = [
    Task.report_external_task,
    Task.areport_external_task,
    Backend.report_external_task,
    Backend.areport_external_task,
]
FORMS: dict[str, Callable[..., Any]] = {
    "Task.report": lambda **arguments: Task.report_external_task(CONFIGURATION, "a", **arguments),
    "Task.areport": lambda **arguments: asyncio.run(Task.areport_external_task(CONFIGURATION, "a", **arguments)),
    "Backend.report": lambda **arguments: BACKEND.report_external_task("a", **arguments),
    "Backend.areport": lambda **arguments: asyncio.run(BACKEND.areport_external_task("a", **arguments)),
    "Backend.submit": lambda **arguments: BACKEND.submit_external_task("a", **arguments),
    "Backend.asubmit": lambda **arguments: asyncio.run(BACKEND.asubmit_external_task("a", **arguments)),
}
# An argument for each field, and the value in the body. A new field needs a row here.
SAMPLES: dict[str, tuple[Any, Any]] = {
    "id": ("i", "i"),
    "input": ("in", "in"),
    "llm_response": ((1,), [1]),
    "tokens": (
        {"prompt_tokens": 3},
        {
            "prompt_tokens": 3,
            "completion_tokens": 0,
            "total_tokens": 3,
            "cache_read_tokens": 0,
            "cache_write_tokens": 0,
        },
    ),
    "is_success": (False, False),
    "result": ("out", "out"),
    "duration": ("2", 2.0),
    "used_tools": (("search",), ["search"]),
    "error": (ValueError("no"), "ValueError: no"),
    "calls": ([{"model": "m", "cost": "1.5"}], [{"model": "m", "cost": 1.5}]),
    "user_id": (7, "7"),
    "conversation_id": ("c", "c"),
    "parent_task_id": ("p", "p"),
    "metadata": ({"environment": "test", "retries": 3}, {"environment": "test", "retries": "3"}),
}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return the bodies of all reports, which are neither sent nor stored."""
    bodies: list[dict[str, Any]] = []

    def send(_: Configuration, operation: Operation[Any]) -> None:
        bodies.append(json.loads(operation.content or b""))

    async def asend(configuration: Configuration, operation: Operation[Any]) -> None:
        send(configuration, operation)

    def submit(_: Configuration, report: Report, convert: Callable[[Any], Task]) -> Receipt[Task] | None:
        bodies.append(json.loads(report.content))
        return None

    async def asubmit(configuration: Configuration, report: Report, convert: Callable[[Any], Task]) -> None:
        submit(configuration, report, convert)

    monkeypatch.setattr("xpander_sdk.client.client.send", send)
    monkeypatch.setattr("xpander_sdk.client.client.asend", asend)
    monkeypatch.setattr("xpander_sdk.outbox.registry.submit", submit)
    monkeypatch.setattr("xpander_sdk.outbox.registry.asubmit", asubmit)
    return bodies


def test_each_documented_signature_has_all_fields():
    for function in DOCUMENTED:
        parameters = inspect.signature(function).parameters
        assert [name for name in parameters if name in fields.ReportFields.__annotations__] == list(
            fields.ReportFields.__annotations__
        )


@pytest.mark.parametrize("name", fields.ReportFields.__annotations__)
def test_each_docstring_describes_the_field(name):
    for function in DOCUMENTED:
        assert re.search(rf"^ +{name}: \w", function.__doc__ or "", re.MULTILINE), function
    for function in (Backend.submit_external_task, Backend.asubmit_external_task):
        assert f"- `{name}`: " in (function.__doc__ or ""), function


def test_no_field_lacks_a_sample():
    assert list(SAMPLES) == list(fields.ReportFields.__annotations__)


@pytest.mark.parametrize("form", FORMS)
def test_each_field_of_each_form_reaches_the_body(form, sent):
    FORMS[form](**{name: argument for name, (argument, _) in SAMPLES.items()})
    assert sent == [{name: value for name, (_, value) in SAMPLES.items()}]


@pytest.mark.parametrize("form", FORMS)
def test_the_declared_defaults_are_those_of_the_signatures(form, sent):
    FORMS[form](id="i")
    defaults = {name: fields.declarations()[name].default for name in fields.documented_names()}
    assert sent == [{**defaults, "id": "i", "used_tools": []}]


def test_backend_sends_an_empty_list_for_no_tools_and_task_sends_null(sent):
    FORMS["Backend.report"](used_tools=None)
    FORMS["Backend.submit"](used_tools=None)
    FORMS["Task.report"](used_tools=None)
    assert [body["used_tools"] for body in sent] == [[], [], None]


def test_backend_passes_on_its_agent_and_the_configuration_of_the_call(monkeypatch):
    calls = []
    monkeypatch.setattr("xpander_sdk.client.client.send", lambda *arguments: calls.append(arguments))
    other = Configuration()
    BACKEND.report_external_task(agent=SimpleNamespace(id="A"), configuration=other)
    ((configuration, operation),) = calls
    assert (configuration, operation.url) == (other, "/agent-execution/A/report_task")


@pytest.mark.parametrize("form", ["Backend.submit", "Backend.asubmit"])
def test_an_unknown_field_is_a_type_error(form, sent):
    with pytest.raises(TypeError, match="unexpected keyword argument 'resutl'"):
        FORMS[form](resutl="typo")
    assert sent == []
