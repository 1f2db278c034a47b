from datetime import UTC, datetime

import attrs
import pytest

from xpander_api import models
from xpander_sdk import AgentExecutionStatus, Configuration, ContractError, Task, Tasks, TasksListItem, Tokens
from xpander_sdk.client import operations, task_record
from xpander_sdk.client.task_record import read_loaded_task

CONFIGURATION = Configuration(base_url="sqlite:///unused.db")
MINIMAL = {
    "id": "t",
    "agent_id": "a",
    "organization_id": "o",
    "input": {},
    "status": "completed",
    "created_at": "2026-01-02T03:04:05Z",
}


def create_task(**fields) -> Task:
    return Task._from_record(CONFIGURATION, read_loaded_task({**MINIMAL, **fields}, "t"))


def test_required_fields_suffice():
    task = create_task()
    assert (task.id, task.result, task.tokens, task.used_tools, task.finished_at) == ("t", None, None, [], None)
    assert task.input.text is None


def test_unknown_status_is_kept():
    task = create_task(status="hibernating")
    assert (task.status, str(task.status)) == ("hibernating", "hibernating")
    assert isinstance(task.status, AgentExecutionStatus)


def test_unknown_fields_are_kept_in_extra():
    assert create_task(llm_model_name="gpt-9", new=[1]).extra == {"llm_model_name": "gpt-9", "new": [1]}


@pytest.mark.parametrize("written", ["2026-01-02T03:04:05", "2026-01-02t03:04:05z", "2026-01-02T05:04:05+02:00"])
def test_times_are_converted_to_utc(written):
    task = create_task(created_at=written, finished_at=written)
    assert task.created_at == task.finished_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_malformed_time_is_kept_in_extra():
    task = create_task(finished_at="soon")
    assert (task.finished_at, task.extra) == (None, {"finished_at": "soon"})


def test_null_becomes_none():
    nulls = dict.fromkeys(("result", "tokens", "used_tools", "duration", "finished_at", "llm_response", "title"))
    task = create_task(**nulls)
    assert (task.result, task.tokens, task.used_tools, task.duration, task.llm_response) == (None, None, [], None, None)


def test_to_dict_is_json_without_configuration():
    task = create_task(result="r", tokens={"prompt_tokens": 2}).to_dict()
    assert (task["result"], task["created_at"], task["tokens"]["prompt_tokens"]) == ("r", "2026-01-02T03:04:05Z", 2)
    assert "configuration" not in task


def test_tokens_have_sdk_class():
    task = create_task(tokens={"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3})
    assert task.tokens == Tokens(prompt_tokens=2, completion_tokens=1)


def test_user_is_a_dict():
    assert create_task(input={"text": "hi", "user": {"id": "u", "email": "e"}}).input.user == {"id": "u", "email": "e"}


def test_repr_and_comparison_ignore_configuration():
    other = Configuration(base_url="sqlite:///other.db", api_key="hunter2")
    record = read_loaded_task(MINIMAL, "t")
    assert Task._from_record(other, record) == Task._from_record(CONFIGURATION, record)
    assert "hunter2" not in repr(Task._from_record(other, record))


def test_subclass_of_task_is_returned():
    class CustomTask(Task):
        pass

    assert type(CustomTask._from_record(CONFIGURATION, read_loaded_task(MINIMAL, "t"))) is CustomTask


def test_every_field_of_the_api_is_read():
    names = {attribute.name.rstrip("_") for attribute in attrs.fields(models.Task)} - {"additional_properties"}
    of_sdk = {attribute.name for attribute in attrs.fields(Task)} - {"extra", "_configuration"}
    assert set(task_record._READERS) == names == of_sdk


def test_id_is_percent_encoded_in_path():
    assert operations.get_task("a/b c?#%2F..é").url == "/agent-execution/a%2Fb%20c%3F%23%252F..%C3%A9/status"


@pytest.mark.parametrize(
    "call",
    [
        lambda tasks: tasks.list("..", None),
        lambda tasks: tasks.list("a", {"staus": "failed"}),
        lambda tasks: tasks.list("a", {"status": 5}),
        lambda tasks: tasks.list("a", {"status": "fialed"}),
        lambda tasks: tasks.list("a", "failed"),
        lambda tasks: tasks.list("a", limit=-1),
        lambda tasks: tasks.list("a", limit=True),
        lambda tasks: tasks.iterate("a", {"x": "y"}),
        lambda tasks: tasks.aiterate("a", {"x": "y"}),
        lambda tasks: tasks.list_user_tasks(""),
        lambda tasks: tasks.get("."),
    ],
)
def test_invalid_query_is_rejected_before_sending(call, monkeypatch):
    monkeypatch.setattr("xpander_sdk.client.client.send", lambda *_: pytest.fail("something was sent"))
    with pytest.raises(ValueError, match="must"):
        call(Tasks(CONFIGURATION))


def item_bodies(*names: str) -> list[dict[str, str]]:
    return [{"id": name, "agent_id": "a", "organization_id": "o", "status": "failed"} for name in names]


def create_list_items(*names: str) -> list[TasksListItem]:
    return [
        TasksListItem._from_model(CONFIGURATION, models.TaskListItem.from_dict(item)) for item in item_bodies(*names)
    ]


def test_pages_are_loaded_when_iteration_reaches_them(monkeypatch):
    cursors = []

    def send(_, operation):
        cursors.append(operation.params.get("cursor"))
        names, cursor = (("1", "2"), "next") if len(cursors) == 1 else (("3",), None)
        return operation.parse(item_bodies(*names), {"x-next-cursor": cursor} if cursor else {})

    monkeypatch.setattr("xpander_sdk.client.client.send", send)
    iterator = Tasks(CONFIGURATION).iterate("a")
    assert [next(iterator).id, next(iterator).id, cursors] == ["1", "2", [None]]
    assert [next(iterator).id, cursors] == ["3", [None, "next"]]
    assert list(iterator) == []


def test_repeated_cursor_is_an_error(monkeypatch):
    monkeypatch.setattr(
        "xpander_sdk.client.client.send", lambda _, operation: operation.parse([], {"x-next-cursor": "on"})
    )
    with pytest.raises(ContractError, match="circle"):
        Tasks(CONFIGURATION).list("a")


def test_limit_is_sent_only_below_page_size(monkeypatch):
    sent = []

    def send(_, operation):
        sent.append(operation.params)
        return operation.parse(item_bodies("1"), {})

    monkeypatch.setattr("xpander_sdk.client.client.send", send)
    Tasks(CONFIGURATION).list("a", {"status": AgentExecutionStatus.Failed})
    Tasks(CONFIGURATION).list("a", limit=3)
    assert sent == [{"status": "failed"}, {"limit": 3}]


def test_list_item_loads_with_its_configuration(monkeypatch):
    calls = []
    monkeypatch.setattr("xpander_sdk.task.Task.load", lambda *arguments: calls.append(arguments))
    item = create_list_items("x")[0]
    item.load()
    item.load(other := Configuration())
    assert calls == [("x", CONFIGURATION), ("x", other)]
