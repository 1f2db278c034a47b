from datetime import UTC, datetime

import pytest

from xpander_api import models
from xpander_sdk import AgentExecutionStatus, Configuration, ContractError, Task, Tasks, TasksListItem, Tokens
from xpander_sdk.client import operations

CONFIGURATION = Configuration(base_url="sqlite:///unused.db")
MINIMAL = {
    "id": "t",
    "agent_id": "a",
    "organization_id": "o",
    "input": {},
    "status": "completed",
    "created_at": "2026-01-02T03:04:05Z",
}


def task_of(**fields) -> Task:
    return Task._from_model(CONFIGURATION, models.Task.from_dict({**MINIMAL, **fields}))


def test_the_least_that_a_backend_may_answer_is_enough():
    task = task_of()
    assert (task.id, task.result, task.tokens, task.used_tools, task.finished_at) == ("t", None, None, [], None)
    assert task.input.text is None


def test_a_status_that_is_newer_than_the_client_is_kept():
    task = task_of(status="hibernating")
    assert (task.status, str(task.status)) == ("hibernating", "hibernating")
    assert isinstance(task.status, AgentExecutionStatus)


def test_fields_that_the_client_does_not_know_are_kept():
    assert task_of(llm_model_name="gpt-9", new=[1]).extra == {"llm_model_name": "gpt-9", "new": [1]}


@pytest.mark.parametrize("written", ["2026-01-02T03:04:05", "2026-01-02t03:04:05z", "2026-01-02T05:04:05+02:00"])
def test_times_are_in_utc_however_they_are_written(written):
    task = task_of(created_at=written, finished_at=written)
    assert task.created_at == task.finished_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_time_that_is_none_does_not_lose_the_task():
    task = task_of(finished_at="soon")
    assert (task.finished_at, task.extra) == (None, {"finished_at": "soon"})


def test_null_is_none_everywhere():
    nulls = dict.fromkeys(("result", "tokens", "used_tools", "duration", "finished_at", "llm_response", "title"))
    task = task_of(**nulls)
    assert (task.result, task.tokens, task.used_tools, task.duration, task.llm_response) == (None, None, [], None, None)


def test_as_a_dict_it_is_json_without_the_configuration():
    told = task_of(result="r", tokens={"prompt_tokens": 2}).to_dict()
    assert (told["result"], told["created_at"], told["tokens"]["prompt_tokens"]) == ("r", "2026-01-02T03:04:05Z", 2)
    assert "configuration" not in told


def test_tokens_are_ours():
    task = task_of(tokens={"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3})
    assert task.tokens == Tokens(prompt_tokens=2, completion_tokens=1)


def test_its_user_is_a_plain_dict():
    assert task_of(input={"text": "hi", "user": {"id": "u", "email": "e"}}).input.user == {"id": "u", "email": "e"}


def test_neither_repr_nor_comparison_involves_the_configuration():
    other = Configuration(base_url="sqlite:///other.db", api_key="hunter2")
    answer = models.Task.from_dict(dict(MINIMAL))
    assert Task._from_model(other, answer) == Task._from_model(CONFIGURATION, answer)
    assert "hunter2" not in repr(Task._from_model(other, answer))


def test_a_subclass_is_answered_with_itself():
    class Mine(Task):
        pass

    assert type(Mine._from_model(CONFIGURATION, models.Task.from_dict(dict(MINIMAL)))) is Mine


def test_ids_are_escaped_in_the_path():
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
def test_what_cannot_be_asked_is_an_error_at_once(call, monkeypatch):
    monkeypatch.setattr("xpander_sdk.client.client.send", lambda *_: pytest.fail("something was sent"))
    with pytest.raises(ValueError, match=r"must|cannot"):
        call(Tasks(CONFIGURATION))


def items(*names: str) -> list[dict[str, str]]:
    return [{"id": name, "agent_id": "a", "organization_id": "o", "status": "failed"} for name in names]


def listed(*names: str) -> list[TasksListItem]:
    return [TasksListItem._from_model(CONFIGURATION, models.TaskListItem.from_dict(item)) for item in items(*names)]


def test_pages_are_fetched_when_they_are_reached(monkeypatch):
    asked = []

    def send(_, operation):
        asked.append(operation.params.get("cursor"))
        names, cursor = (("1", "2"), "next") if len(asked) == 1 else (("3",), None)
        return operation.parse(items(*names), {"x-next-cursor": cursor} if cursor else {})

    monkeypatch.setattr("xpander_sdk.client.client.send", send)
    walk = Tasks(CONFIGURATION).iterate("a")
    assert [next(walk).id, next(walk).id, asked] == ["1", "2", [None]]
    assert [next(walk).id, asked] == ["3", [None, "next"]]
    assert list(walk) == []


def test_a_cursor_that_comes_back_ends_the_walk(monkeypatch):
    monkeypatch.setattr(
        "xpander_sdk.client.client.send", lambda _, operation: operation.parse([], {"x-next-cursor": "on"})
    )
    with pytest.raises(ContractError, match="circle"):
        Tasks(CONFIGURATION).list("a")


def test_a_limit_is_only_sent_where_less_than_a_page_will_do(monkeypatch):
    sent = []

    def send(_, operation):
        sent.append(operation.params)
        return operation.parse(items("1"), {})

    monkeypatch.setattr("xpander_sdk.client.client.send", send)
    Tasks(CONFIGURATION).list("a", {"status": AgentExecutionStatus.Failed})
    Tasks(CONFIGURATION).list("a", limit=3)
    assert sent == [{"status": "failed"}, {"limit": 3}]


def test_a_list_item_loads_with_what_listed_it(monkeypatch):
    used = []
    monkeypatch.setattr("xpander_sdk.task.Task.load", lambda *arguments: used.append(arguments))
    item = listed("x")[0]
    item.load()
    item.load(other := Configuration())
    assert used == [("x", CONFIGURATION), ("x", other)]
