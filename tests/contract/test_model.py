"""A really started server against a model of the contract: any reports, in any order, then everything that reads.

The model is written from the contract alone. Whatever it takes for granted, the contract says.
"""

import json
import math
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from attrs import define, field
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from support.server import KEY, ORGANIZATION, Server

SECOND = 1_000_000
CLOCK_SLACK = timedelta(seconds=2)  # clocks are put right now and then
KINDS = ("completion_tokens", "prompt_tokens", "cache_read_tokens", "cache_write_tokens")
TOLD = ("created_at", "finished_at")
AGENTS = ("agent", "agent/with a slash", "агент%2F?#")
RUNS = ("run-1", "run-2", "run/3", "run 4 ü🙂", "run%5")
USERS = ("user", "user/2")


@define
class ModelTask:
    """What the contract says of a task, given the reports so far."""

    agent: str
    values: dict[str, Any] = field(factory=dict)
    reported_at: dict[str, int] = field(factory=dict)
    answer: dict[str, Any] = field(factory=dict)
    """What the server last showed: its times are its own, but must not move."""

    def report(self, report: dict[str, Any], reported_at: int) -> bool:
        """Take what is not null and not older; tell whether anything changed."""
        before = json.dumps(self.values)
        for name, value in report.items():
            if name in TOLD and value is not None and _moment(value) > datetime.now(UTC) + timedelta(seconds=300):
                continue  # not used
            if name != "id" and value is not None and reported_at >= self.reported_at.get(name, reported_at):
                self.values[name] = _normal(name, value)
                self.reported_at[name] = reported_at
        return json.dumps(self.values) != before

    @property
    def status(self) -> str:
        return {None: "executing", True: "completed", False: "failed"}[self.values.get("is_success")]

    @property
    def tokens(self) -> dict[str, int]:
        return self.values.get("tokens", dict.fromkeys(KINDS, 0))


def _normal(name: str, value: Any) -> Any:
    if name == "tokens":
        return {kind: value.get(kind) or 0 for kind in KINDS}
    if name in TOLD:
        return _moment(value).astimezone(UTC).isoformat()
    return float(value) if name == "duration" else value


def _total(tokens: dict[str, int]) -> int:
    return tokens["completion_tokens"] + tokens["prompt_tokens"]


def _moment(timestamp: str) -> datetime:
    return datetime.fromisoformat(timestamp)


TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
COUNTS = st.one_of(st.none(), st.integers(-3, 20), st.sampled_from([-(10**12), 10**12]))
DOCUMENTS = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(),
        st.just(10**40),
        st.floats(allow_nan=False, allow_infinity=False),
        TEXTS,
        st.none(),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
MOMENTS = st.sampled_from(
    ["1971-01-01T00:00:00Z", "2020-02-29t12:00:00.123456+05:30", "2021-06-01T00:00:00.5Z", "2999-12-31T23:59:59Z"]
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "input": TEXTS,
    "llm_response": DOCUMENTS,
    "tokens": st.fixed_dictionaries({}, optional=dict.fromkeys((*KINDS, "total_tokens"), COUNTS)),
    "is_success": st.booleans(),
    "result": TEXTS,
    "duration": st.one_of(st.integers(-1, 5), st.floats(-1e9, 1e9), st.sampled_from([0.1, 0.2, 1500])),
    "used_tools": st.lists(st.sampled_from(["search", "fetch", "ü"]), max_size=4),
    "user_id": st.sampled_from(USERS),
    "parent_task_id": st.sampled_from(RUNS),
    "triggering_agent_id": st.sampled_from(AGENTS),
    **dict.fromkeys(TOLD, MOMENTS),
}
REPORTS = st.fixed_dictionaries({}, optional={name: st.none() | values for name, values in FIELDS.items()})
# Relative to the start of an example, and far enough from any time of arrival: none, long ago (in an order of its own),
# ahead within the five minutes, and too far ahead to be used.
TIMES = st.sampled_from([None, None, None, -3600, -7200, -7200 * 2, 240, 250, 10**8])
FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "user_id": st.sampled_from(USERS),
        "parent_task_id": st.sampled_from(RUNS),
        "triggering_agent_id": st.sampled_from(AGENTS),
        "status": st.sampled_from(["completed", "failed", "executing", "stopped"]),
    },
)


class Model(RuleBasedStateMachine):
    """Every rule does one thing to the server and to the model, and compares."""

    def __init__(self, client: httpx.Client) -> None:
        super().__init__()
        self.client = client
        self.tasks: dict[str, ModelTask] = {}

    @initialize()
    def start(self) -> None:
        # The server has served other examples: names of its own keep this one apart. They do not steer anything.
        self.own = uuid.uuid4().hex
        self.started = time.time_ns() // 1_000

    @rule(agent=st.sampled_from(AGENTS), run=st.sampled_from(RUNS), report=REPORTS, at=TIMES)
    def report(self, agent: str, run: str, report: dict[str, Any], at: int | None) -> None:
        self._report(agent, run, report, at)

    @rule(run=st.sampled_from(RUNS), report=REPORTS, at=TIMES)
    def report_again(self, run: str, report: dict[str, Any], at: int | None) -> None:
        known = self.tasks.get(run)
        self._report(known.agent if known else AGENTS[0], run, report, at)

    @rule(report=REPORTS)
    def report_without_id(self, report: dict[str, Any]) -> None:
        answer = self._post(AGENTS[0], report, None).json()
        assert answer["id"], "the backend assigns an id"
        run = f"assigned {len(self.tasks)}"
        self.tasks[run] = task = ModelTask(AGENTS[0])
        task.report(self._own(report), self.started)
        task.values["id"] = answer["id"]
        self._compare(run, answer)

    @precondition(lambda self: self.tasks)
    @rule(data=st.data(), report=REPORTS)
    def report_the_same_twice(self, data: st.DataObject, report: dict[str, Any]) -> None:
        run = data.draw(st.sampled_from(sorted(self.tasks)))
        self._report(self.tasks[run].agent, run, report, None)
        before = self.tasks[run].answer
        self._report(self.tasks[run].agent, run, report, None)
        assert self.tasks[run].answer == before, "what is sent twice counts once"

    @rule(run=st.sampled_from(RUNS))
    def read_status(self, run: str) -> None:
        answer = self._get(f"/agent-execution/{quote(self._id(run), safe='')}/status")
        if run not in self.tasks:
            assert answer.status_code == 404
            assert isinstance(answer.json()["detail"], str)
        else:
            assert answer.status_code == 200
            assert answer.json() == self.tasks[run].answer

    @rule(agent=st.sampled_from(AGENTS), limit=st.sampled_from([None, 1, 2, 3, 1000]), filters=FILTERS)
    def list_agent(self, agent: str, limit: int | None, filters: dict[str, str]) -> None:
        path = f"/agent-execution/executions/history/{quote(self.own + agent, safe='')}"
        expected = {run for run, task in self.tasks.items() if task.agent == agent and self._meets(task, filters)}
        self._compare_history(path, limit, filters, expected)

    @rule(user=st.sampled_from(USERS), limit=st.sampled_from([None, 1, 2]), filters=FILTERS)
    def list_user(self, user: str, limit: int | None, filters: dict[str, str]) -> None:
        filters = {**filters, "user_id": user}
        expected = {run for run, task in self.tasks.items() if self._meets(task, filters)}
        path = f"/agent-execution/executions/history/user/{quote(self.own + filters.pop('user_id'), safe='')}"
        self._compare_history(path, limit, filters, expected)

    @rule(agent=st.sampled_from(AGENTS), data=st.data())
    def read_metrics(self, agent: str, data: st.DataObject) -> None:
        tasks = [task for task in self.tasks.values() if task.agent == agent]
        # The bounds that matter are the times of the tasks themselves.
        bounds = st.none() | st.sampled_from(sorted({task.answer["created_at"] for task in tasks}) or [None])
        since, until = data.draw(bounds, "since"), data.draw(bounds, "until")
        times = {name: value for name, value in (("since", since), ("until", until)) if value is not None}
        counted = [
            task
            for task in tasks
            if (since is None or _moment(task.answer["created_at"]) >= _moment(since))
            and (until is None or _moment(task.answer["created_at"]) < _moment(until))
        ]
        answer = self._get(f"/agents-metrics/{quote(self.own + agent, safe='')}", times)
        assert answer.status_code == 200
        _compare_metrics(answer.json(), counted)
        assert answer.json()["agent_id"] == self.own + agent

    def teardown(self) -> None:
        for run in self.tasks:
            if run in RUNS:
                self.read_status(run)
        if self.tasks:
            for agent in AGENTS:
                self.list_agent(agent, None, {})

    def _id(self, run: str) -> str:
        return self.tasks[run].values["id"] if run.startswith("assigned") else self.own + run

    def _own(self, report: dict[str, Any]) -> dict[str, Any]:
        """The report with this example's own user: the other ids have no list of their own."""
        return {**report, "user_id": self.own + report["user_id"]} if report.get("user_id") else report

    def _meets(self, task: ModelTask, filters: dict[str, str]) -> bool:
        state = {**task.values, "status": task.status}
        return all(
            state.get(name) == (self.own + value if name == "user_id" else value) for name, value in filters.items()
        )

    def _report(self, agent: str, run: str, report: dict[str, Any], at: int | None) -> None:
        known = self.tasks.get(run)
        sent_at = time.time_ns() // 1_000
        given_at = None if at is None else self.started + at * SECOND
        answer = self._post(agent, {**report, "id": self._id(run)}, given_at)
        if known and known.agent != agent:
            assert answer.status_code == 409
            assert isinstance(answer.json()["detail"], str)
            shown = self._get(f"/agent-execution/{quote(self._id(run), safe='')}/status")
            assert shown.json() == known.answer, "a refused report changes nothing"
            return
        assert answer.status_code in (200, 201), answer.text
        task = self.tasks.setdefault(run, ModelTask(agent))
        too_far_ahead = given_at is not None and given_at > sent_at + 300 * SECOND
        changed = task.report(self._own(report), sent_at if given_at is None or too_far_ahead else given_at)
        before = task.answer
        self._compare(run, answer.json())
        if before and not changed:
            assert task.answer == before, "a report that changes nothing is not seen"
        else:
            age = _moment(task.answer["updated_at"]) - datetime.fromtimestamp(sent_at / SECOND, UTC)
            assert -CLOCK_SLACK < age < CLOCK_SLACK + timedelta(seconds=20)

    def _post(self, agent: str, report: dict[str, Any], reported_at: int | None) -> httpx.Response:
        headers = {} if reported_at is None else {"x-reported-at": str(reported_at)}
        path = f"/agent-execution/{quote(self.own + agent, safe='')}/report_task"
        return self.client.post(path, json=self._own(report), headers=headers)

    def _get(self, path: str, parameters: dict[str, Any] | None = None) -> httpx.Response:
        return self.client.get(path, params=parameters)

    def _compare(self, run: str, answer: dict[str, Any]) -> None:
        """The answer to a report against the model, which then remembers it."""
        task, values = self.tasks[run], self.tasks[run].values
        assert answer["id"] == self._id(run)
        assert answer["agent_id"] == self.own + task.agent
        assert answer["organization_id"] == ORGANIZATION
        assert answer["status"] == task.status
        assert answer["input"].get("text") == values.get("input")
        # As text: the order of keys counts, and 1 is not 1.0 or true.
        assert json.dumps(answer["llm_response"]) == json.dumps(values.get("llm_response"))
        for name in ("result", "duration", "user_id", "parent_task_id", "triggering_agent_id"):
            assert answer[name] == values.get(name), name
        assert (answer["used_tools"] or []) == values.get("used_tools", [])
        if "tokens" in values:
            assert answer["tokens"] == {**task.tokens, "total_tokens": _total(task.tokens)}
        else:
            assert answer["tokens"] is None
        self._compare_times(task, answer)
        task.answer = answer

    def _compare_times(self, task: ModelTask, answer: dict[str, Any]) -> None:
        before = task.answer
        created, updated = _moment(answer["created_at"]), _moment(answer["updated_at"])
        assert updated >= created - CLOCK_SLACK
        if "created_at" in task.values:
            assert created == _moment(task.values["created_at"])
        elif before:
            assert answer["created_at"] == before["created_at"], "an update keeps the time of creation"
        if task.status == "executing":
            assert answer["finished_at"] is None
            assert answer["started_at"] is None
            return
        finished, started = _moment(answer["finished_at"]), _moment(answer["started_at"])
        if "finished_at" in task.values:
            assert finished == _moment(task.values["finished_at"])
        elif "created_at" not in task.values:
            assert finished >= created - CLOCK_SLACK
        if "finished_at" not in task.values and before.get("finished_at"):
            assert answer["finished_at"] == before["finished_at"], "a task ends once"
        duration = timedelta(seconds=task.values.get("duration", 0))
        assert abs(finished - started - duration) <= timedelta(microseconds=1)

    def _compare_history(self, path: str, limit: int | None, filters: dict[str, str], expected: set[str]) -> None:
        parameters: dict[str, Any] = {
            name: self.own + value if name == "user_id" else value for name, value in filters.items()
        }
        if limit is not None:
            parameters["limit"] = limit
        items = list(self._pages(path, parameters, limit or 1000, filters))
        assert Counter(item["id"] for item in items) == Counter(self._id(run) for run in expected)
        created = [_moment(item["created_at"]) for item in items]
        assert created == sorted(created, reverse=True), "newest first"
        shown = {task.answer["id"]: task.answer for task in self.tasks.values()}
        for item in items:
            common = item.keys() & shown[item["id"]].keys()
            assert {name: item[name] for name in common} == {name: shown[item["id"]][name] for name in common}

    def _pages(
        self, path: str, parameters: dict[str, Any], limit: int, filters: dict[str, str]
    ) -> Iterator[dict[str, Any]]:
        while True:
            answer = self._get(path, parameters)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            assert len(page) <= limit
            yield from page
            cursor = answer.headers.get("x-next-cursor")
            if cursor is None:
                return
            # With filters a page may have fewer.
            assert filters or len(page) == limit, "a page that is not the last is full"
            parameters = {**parameters, "cursor": cursor}


def _compare_metrics(shown: dict[str, Any], tasks: list[ModelTask]) -> None:
    statuses = Counter(task.status for task in tasks)
    assert shown["runs"] == {
        "total": len(tasks), **{name: statuses[name] for name in ("completed", "failed", "executing")},
    }  # fmt: skip
    ended = statuses["completed"] + statuses["failed"]
    assert shown["success_rate"] == (pytest.approx(statuses["completed"] / ended) if ended else None)
    ended_tasks = [task for task in tasks if task.status != "executing"]
    durations = sorted(max(0.0, task.values["duration"]) for task in ended_tasks if "duration" in task.values)
    assert shown["duration"]["total"] == pytest.approx(math.fsum(durations), abs=1e-6 * max(1, len(durations)))
    for percent in (50, 95, 99):
        # Nearest rank, word by word: the smallest that at least that share do not exceed.
        reached = [d for d in durations if 100 * sum(other <= d for other in durations) >= percent * len(durations)]
        rank = min(reached, default=None)
        within = None if rank is None else pytest.approx(rank, rel=0.01, abs=1e-6)
        assert shown["duration"][f"p{percent}"] == within
    tokens = {kind: sum(max(0, task.tokens[kind]) for task in tasks) for kind in KINDS}
    assert shown["tokens"] == {**tokens, "total_tokens": _total(tokens)}
    tools = [task.values.get("used_tools", []) for task in tasks]
    calls = Counter(name for names in tools for name in names)
    runs = Counter(name for names in tools for name in set(names))
    assert {tool["name"]: (tool["calls"], tool["runs"]) for tool in shown["tools"]} == {
        name: (calls[name], runs[name]) for name in calls
    }
    assert len(shown["tools"]) == len(calls)
    ordered = [tool["calls"] for tool in shown["tools"]]
    assert ordered == sorted(ordered, reverse=True), "most called first"


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers={"x-api-key": KEY}, timeout=20) as client:
        yield client


@pytest.mark.slow
def test_server_is_what_the_model_says_after_any_reports(client: httpx.Client) -> None:
    run_state_machine_as_test(
        lambda: Model(client),
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],  # over HTTP, to shrink what fails takes minutes; add Phase.shrink by hand
            suppress_health_check=list(HealthCheck),
        ),
    )
