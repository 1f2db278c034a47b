"""Text, HTML, copies, pickles and pydantic schemas of the objects that the SDK returns."""

import copy
import json
import pickle
import pprint
from html.parser import HTMLParser

import attrs
import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from xpander_sdk import Backend, Configuration, Metrics, Task, Tasks, Tokens
from xpander_sdk.metrics import CostSummary, DurationSummary, RunCounts, ToolUse

SECRET = "hunter2-hunter2"
HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"'><svg onload=alert(1)>",
    "$\\href{javascript:alert(1)}{x}$",
    "</td></table><iframe src='javascript:alert(1)'>",
    "&lt;script&gt;",
    "\ud800 \0 \x1b[31m \u202e",
    "long " * 10_000,
]


class Cells(HTMLParser):
    """Names and attributes of the elements of an HTML text, and the texts of its cells."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("td", "th", "caption"):
            self.texts.append("")

    def handle_data(self, data: str) -> None:
        self.texts[-1] += data


def assert_harmless(html: str) -> None:
    """Assert that the HTML is one table of texts, and that it can be sent to a browser."""
    parsed = Cells(html)
    assert {tag for tag, _ in parsed.elements} <= {"table", "caption", "tr", "th", "td"}
    assert {name for _, attributes in parsed.elements for name in attributes} <= {"class", "style"}
    assert "tex2jax_ignore" in html
    html.encode("utf-8")
    assert "\0" not in html


@pytest.fixture
def backend(embedded: Configuration) -> Backend:
    return Backend(embedded.with_options(api_key=SECRET))


@pytest.fixture
def task(backend: Backend) -> Task:
    return backend.report_external_task(
        "agent-123",
        id="ext-1",
        input="Summarize Q1",
        result="Up 22% YoY",
        duration=4.5,
        tokens=Tokens(prompt_tokens=2_140, completion_tokens=380),
        used_tools=["search", "sql"],
        llm_response={"model": "gpt-4o", "choices": [1, 2]},
    )


def metrics_of(name: str) -> Metrics:
    """Return metrics with a name in each place for names."""
    tokens, runs = Tokens(prompt_tokens=5), RunCounts(3, 2, 1, 0)
    return Metrics(
        agent_id=name,
        organization_id=name,
        since=None,
        until=None,
        runs=runs,
        success_rate=0.5,
        duration=DurationSummary(3.0, 1.0, 2.0, 3.0),
        tokens=tokens,
        cost=CostSummary(1.25, 1),
        tools={f"{name}{number}": ToolUse(1, 1) for number in range(30)},
        models={},
        agents={name: runs},
    )


# Reprs.


def test_repr_of_task_shows_set_fields(task):
    start = "Task(id='ext-1', agent_id='agent-123', status='completed', result='Up 22% YoY', "
    assert repr(task).startswith(f"{start}input=TaskInput(text='Summarize Q1'), duration=4.5")
    assert "None" not in repr(task)
    assert len(repr(task)) <= 200


def test_repr_of_list_item_and_metrics_is_short(task, backend):
    item = repr(Tasks(backend.configuration).list("agent-123")[0])
    assert item.startswith("TasksListItem(id='ext-1', agent_id='agent-123', status='completed', created_at=2")
    metrics = backend.metrics("agent-123", by="day")
    counts = "RunCounts(total=1, completed=1, failed=0, executing=0)"
    assert repr(metrics).startswith(f"Metrics(agent_id='agent-123', runs={counts}, success_rate=1.0, ")
    assert repr(metrics.runs) == counts
    assert counts in repr(metrics.series[0])
    assert all(len(repr(each)) <= 200 for each in (metrics, metrics.series[0], metrics.duration, item))


def test_repr_of_tokens_shows_counts_other_than_zero():
    assert repr(Tokens()) == "Tokens()"
    assert repr(Tokens(prompt_tokens=2, cache_read_tokens=1)) == "Tokens(prompt_tokens=2, cache_read_tokens=1)"


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text)[:20])
def test_repr_is_one_short_line_for_each_text(task, text):
    changed = attrs.evolve(task, id=text, result=text, title=text, used_tools=[text] * 50, extra={text: text})
    assert len(repr(changed)) <= 200
    assert repr(changed).isprintable()
    assert len(repr(metrics_of(text))) <= 200


class Unprintable:
    def __repr__(self) -> str:
        raise AssertionError("called")

    __eq__ = __len__ = __iter__ = __bool__ = __str__ = __repr__  # type: ignore[assignment]


UNUSUAL = [Unprintable(), 10**5_000, float("nan"), [[1] * 9] * 9, {1: 2}, object(), b"x" * 999]


@pytest.mark.parametrize("value", UNUSUAL, ids=lambda value: type(value).__name__)
def test_repr_calls_no_method_of_values(task, value):
    changed = attrs.evolve(task, result=None, used_tools=[value], llm_response=value, duration=value)
    assert repr(changed).startswith("Task(id='ext-1'")
    assert len(repr(changed)) <= 200


# HTML.


def test_html_of_task_is_table_of_set_fields(task):
    html = task._repr_html_()
    assert_harmless(html)
    texts = Cells(html).texts
    rows = dict(zip(texts[1::2], texts[2::2], strict=True))
    assert texts[0] == "Task"
    assert (rows["id"], rows["status"], rows["result"]) == ("ext-1", "completed", "Up 22% YoY")
    assert json.loads(rows["llm_response"]) == {"model": "gpt-4o", "choices": [1, 2]}
    assert "title" not in rows


def test_html_of_metrics_is_table_of_key_figures(task, backend):
    backend.report_external_task("agent-123", id="ext-2", is_success=False, used_tools=["sql"], duration=None)
    texts = Cells(backend.metrics("agent-123")._repr_html_()).texts
    rows = dict(zip(texts[1::2], texts[2::2], strict=True))
    assert rows["Runs"] == "2 (1 completed, 1 failed, 0 executing)"
    assert (rows["Success rate"], rows["Tokens"], rows["Calls of sql"]) == ("50.0%", "2,520", "2")
    assert Cells(backend.organization_metrics()._repr_html_()).texts[1] == "Organization"


def test_html_of_history_has_row_for_each_task(task, backend):
    tasks = Tasks(backend.configuration).list("agent-123")
    assert_harmless(tasks._repr_html_())
    assert {"ext-1", "completed", "Up 22% YoY"} <= set(Cells(tasks._repr_html_()).texts)
    many = type(tasks)([*tasks] * 500)
    assert len(many._repr_html_()) < 50_000
    assert "450 more" in many._repr_html_()


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text)[:20])
def test_html_escapes_and_shortens_each_text(task, backend, text):
    values = {"id": text, "result": text, "used_tools": [text], "extra": {text: text}}
    item = attrs.evolve(Tasks(backend.configuration).list("agent-123")[0], id=text, title=text, process={text: text})
    history = type(Tasks(backend.configuration).list("agent-123"))([item])
    for shown in (attrs.evolve(task, **values), item, history, metrics_of(text)):
        assert_harmless(shown._repr_html_())
        assert len(shown._repr_html_()) < 20_000


# Copies and pickles.


def test_copies_share_configuration(task, backend):
    item = Tasks(backend.configuration).list("agent-123")[0]
    for each in (task, item):
        for made in (copy.copy(each), copy.deepcopy(each), attrs.evolve(each)):
            assert made == each
            assert made.configuration is each.configuration is backend.configuration
    assert copy.deepcopy(task).used_tools is not task.used_tools


def test_pickle_does_not_contain_configuration(task, backend):
    item = Tasks(backend.configuration).list("agent-123")[0]
    for each in (task, item, {"task": [task, item]}):
        data = pickle.dumps(each)
        assert pickle.loads(data) == each
        assert SECRET.encode() not in data
    assert pickle.loads(pickle.dumps(task)).configuration is None


def test_metrics_can_be_copied_and_pickled(task, backend):
    metrics = backend.organization_metrics(by="day")
    for made in (copy.copy(metrics), copy.deepcopy(metrics), pickle.loads(pickle.dumps(metrics))):
        assert made == metrics


@attrs.frozen(kw_only=True)
class LabeledTask(Task):
    label: str = "none"


def test_subclasses_hide_configuration_too(backend):
    configuration = backend.configuration
    task = LabeledTask.report_external_task(configuration, "agent-123")
    assert task.configuration is copy.copy(task).configuration is configuration
    assert task.to_dict()["label"] == "none"
    for text in (repr(task), str(task.to_dict()), str(attrs.asdict(task)), repr(pickle.dumps(task))):
        assert SECRET not in text


def test_no_generic_conversion_reaches_key(task, backend):
    for each in (task, Tasks(backend.configuration).list("agent-123")[0]):
        forms = [attrs.asdict(each), attrs.astuple(each), dict(each), each.to_dict(), pprint.pformat(each)]
        assert SECRET not in str(forms)
        assert SECRET not in each._repr_html_()
        assert json.loads(json.dumps(each.to_dict())) == each.to_dict() == dict(each)


# pydantic.


class Answer(BaseModel):
    task: Task
    metrics: Metrics | None = None
    tokens: Tokens = Tokens()


def test_pydantic_model_contains_objects_and_reads_them_back(task, backend):
    answer = Answer(task=task, metrics=backend.metrics("agent-123", by="hour"), tokens=task.tokens)
    assert answer.task is task
    text = answer.model_dump_json()
    assert json.loads(text)["task"] == task.to_dict()
    assert json.loads(text)["metrics"] == answer.metrics.to_dict()
    assert answer.model_dump()["tokens"] == task.tokens.to_dict()
    assert SECRET not in text
    for read in (Answer.model_validate_json(text), Answer.model_validate(json.loads(text)), copy.deepcopy(answer)):
        assert read == answer
    assert Answer.model_validate_json(text).task.configuration is None


def test_pydantic_rejects_other_values():
    for value in ({"id": "t"}, "t", 5, None, Tokens()):
        with pytest.raises(ValidationError):
            TypeAdapter(Task).validate_python(value)


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_json_schema_names_each_value_of_dict(task, backend, mode):
    schema = TypeAdapter(Answer).json_schema(mode=mode)["$defs"]
    assert set(schema["Task"]["properties"]) == set(task.to_dict())
    assert set(schema["Metrics"]["properties"]) == set(backend.metrics("agent-123").to_dict())
    assert set(schema["Tokens"]["properties"]) == set(task.tokens.to_dict())
    assert "api_key" not in json.dumps(schema)
