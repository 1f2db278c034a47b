"""Stateful test: a running server must match the model of task_model.py after any sequence of reports."""

import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from contract.strategies import AGENTS, BATCHES, FILTERS, REPORT_OFFSETS, REPORTS, RUNS, USERS
from contract.task_model import (
    MAX_CLOCK_DIFFERENCE,
    ModelTask,
    assert_metrics,
    parse_time,
    total_tokens,
)
from support.server import KEY, ORGANIZATION, Server

SECOND = 1_000_000
CLOCK_TOLERANCE = timedelta(seconds=2)
"""Difference that an adjustment of the machine's clock may cause."""


class ServerMachine(RuleBasedStateMachine):
    """State machine whose rules send a request to the server, apply it to the model, and compare both.

    The names of `AGENTS`, `RUNS` and `USERS` get a prefix that is unique to each example, because all examples use the
    same server.
    """

    def __init__(self, client: httpx.Client) -> None:
        super().__init__()
        self.client = client
        self.tasks: dict[str, ModelTask] = {}

    @initialize()
    def start(self) -> None:
        self.prefix = uuid.uuid4().hex  # does not influence which rules run
        self.started = time.time_ns() // 1_000

    @rule(agent=st.sampled_from(AGENTS), run=st.sampled_from(RUNS), report=REPORTS, offset=REPORT_OFFSETS)
    def report(self, agent: str, run: str, report: dict[str, Any], offset: int | None) -> None:
        self._report(agent, run, report, offset)

    @rule(run=st.sampled_from(RUNS), report=REPORTS, offset=REPORT_OFFSETS)
    def update(self, run: str, report: dict[str, Any], offset: int | None) -> None:
        task = self.tasks.get(run)
        self._report(task.agent if task else AGENTS[0], run, report, offset)

    @rule(reports=BATCHES)
    def report_batch(self, reports: list[tuple[str, str, dict[str, Any], int | None]]) -> None:
        sent_at = time.time_ns() // 1_000
        body = []
        for agent, run, report, offset in reports:
            times = {} if offset is None else {"reported_at": self.started + offset * SECOND}
            agent_and_id = {"agent_id": self.prefix + agent, "id": self._task_id(run)}
            body.append({**self._with_prefix(report), **agent_and_id, **times})
        response = self.client.post("/agent-execution/reports", json={"reports": body})
        assert response.status_code == 200, response.text
        outcomes = response.json()["outcomes"]
        assert len(outcomes) == len(reports)
        changed_runs: dict[str, bool] = {}
        for (agent, run, report, offset), outcome in zip(reports, outcomes, strict=True):
            task = self.tasks.setdefault(run, ModelTask(agent))
            if task.agent != agent:
                assert outcome["status"] == 409
                assert isinstance(outcome["error"]["detail"], str)
                continue
            assert outcome["status"] in (200, 201), outcome
            has_changed = task.apply(self._with_prefix(report), self._reported_at(sent_at, offset))
            changed_runs[run] = changed_runs.get(run, False) or has_changed
            assert outcome["task"]["id"] == self._task_id(run)
            assert outcome["task"]["agent_id"] == self.prefix + agent
            assert outcome["task"]["status"] == task.status
        for run, has_changed in changed_runs.items():
            before = self.tasks[run].last_response
            self._compare(run, self._get_task(run).json())
            assert has_changed or not before or self.tasks[run].last_response == before
        for agent in dict.fromkeys(agent for agent, *_ in reports):
            self._compare_metrics(agent)

    @rule(report=REPORTS)
    def report_without_id(self, report: dict[str, Any]) -> None:
        response = self._post(AGENTS[0], report, None).json()
        assert response["id"], "the backend must assign an id"
        run = f"assigned {len(self.tasks)}"
        self.tasks[run] = task = ModelTask(AGENTS[0])
        task.apply(self._with_prefix(report), self.started)
        task.values["id"] = response["id"]
        self._compare(run, response)

    @precondition(lambda self: self.tasks)
    @rule(data=st.data(), report=REPORTS)
    def report_twice(self, data: st.DataObject, report: dict[str, Any]) -> None:
        run = data.draw(st.sampled_from(sorted(self.tasks)))
        self._report(self.tasks[run].agent, run, report, None)
        before = self.tasks[run].last_response
        self._report(self.tasks[run].agent, run, report, None)
        assert self.tasks[run].last_response == before, "a repeated report must change nothing"

    @rule(run=st.sampled_from(RUNS))
    def get_task(self, run: str) -> None:
        response = self._get_task(run)
        if run not in self.tasks:
            assert response.status_code == 404
            assert isinstance(response.json()["detail"], str)
        else:
            assert response.status_code == 200
            assert response.json() == self.tasks[run].last_response

    @rule(agent=st.sampled_from(AGENTS), limit=st.sampled_from([None, 1, 2, 3, 1000]), filters=FILTERS)
    def list_agent_tasks(self, agent: str, limit: int | None, filters: dict[str, str]) -> None:
        path = f"/agent-execution/executions/history/{quote(self.prefix + agent, safe='')}"
        expected = {run for run, task in self.tasks.items() if task.agent == agent and self._matches(task, filters)}
        self._compare_history(path, limit, filters, expected)

    @rule(user=st.sampled_from(USERS), limit=st.sampled_from([None, 1, 2]), filters=FILTERS)
    def list_user_tasks(self, user: str, limit: int | None, filters: dict[str, str]) -> None:
        filters = {**filters, "user_id": user}
        expected = {run for run, task in self.tasks.items() if self._matches(task, filters)}
        path = f"/agent-execution/executions/history/user/{quote(self.prefix + filters.pop('user_id'), safe='')}"
        self._compare_history(path, limit, filters, expected)

    @rule(agent=st.sampled_from(AGENTS), data=st.data())
    def get_agent_metrics(self, agent: str, data: st.DataObject) -> None:
        tasks = [task for task in self.tasks.values() if task.agent == agent]
        # The limits of the range are the times of the tasks, where an error by one would show.
        limits = st.none() | st.sampled_from(sorted({task.last_response["created_at"] for task in tasks}) or [None])
        since, until = data.draw(limits, "since"), data.draw(limits, "until")
        parameters = {name: value for name, value in (("since", since), ("until", until)) if value is not None}
        tasks_in_range = [
            task
            for task in tasks
            if (since is None or parse_time(task.last_response["created_at"]) >= parse_time(since))
            and (until is None or parse_time(task.last_response["created_at"]) < parse_time(until))
        ]
        response = self._get(f"/agents-metrics/{quote(self.prefix + agent, safe='')}", parameters)
        assert response.status_code == 200
        assert_metrics(response.json(), tasks_in_range)
        assert response.json()["agent_id"] == self.prefix + agent

    def teardown(self) -> None:
        for run in self.tasks:
            if run in RUNS:
                self.get_task(run)
        if self.tasks:
            for agent in AGENTS:
                self.list_agent_tasks(agent, None, {})
                self._compare_metrics(agent)

    def _compare_metrics(self, agent: str) -> None:
        """Compare the metrics of all tasks of an agent with the model."""
        response = self._get(f"/agents-metrics/{quote(self.prefix + agent, safe='')}")
        assert response.status_code == 200
        assert_metrics(response.json(), [task for task in self.tasks.values() if task.agent == agent])

    def _task_id(self, run: str) -> str:
        return self.tasks[run].values["id"] if run.startswith("assigned") else self.prefix + run

    def _with_prefix(self, report: dict[str, Any]) -> dict[str, Any]:
        """Return the report with the prefix before its user. Other ids need none: no operation lists tasks by them."""
        return {**report, "user_id": self.prefix + report["user_id"]} if report.get("user_id") else report

    def _matches(self, task: ModelTask, filters: dict[str, str]) -> bool:
        values = {**task.values, "status": task.status}
        return all(
            values.get(name) == (self.prefix + value if name == "user_id" else value) for name, value in filters.items()
        )

    def _report(self, agent: str, run: str, report: dict[str, Any], offset: int | None) -> None:
        existing_task = self.tasks.get(run)
        sent_at = time.time_ns() // 1_000
        header_time = None if offset is None else self.started + offset * SECOND
        response = self._post(agent, {**report, "id": self._task_id(run)}, header_time)
        if existing_task and existing_task.agent != agent:
            assert response.status_code == 409
            assert isinstance(response.json()["detail"], str)
            assert self._get_task(run).json() == existing_task.last_response, "a rejected report must change nothing"
            return
        assert response.status_code in (200, 201), response.text
        task = self.tasks.setdefault(run, ModelTask(agent))
        has_changed = task.apply(self._with_prefix(report), self._reported_at(sent_at, offset))
        before = task.last_response
        self._compare(run, response.json())
        if before and not has_changed:
            assert task.last_response == before, "a report without a change must not update the task"
        else:
            updated_at = parse_time(task.last_response["updated_at"])
            age = updated_at - datetime.fromtimestamp(sent_at / SECOND, UTC)
            assert -CLOCK_TOLERANCE < age < CLOCK_TOLERANCE + timedelta(seconds=20)

    def _reported_at(self, sent_at: int, offset: int | None) -> int:
        """Return the time of report that the server must use."""
        latest = sent_at + MAX_CLOCK_DIFFERENCE // timedelta(microseconds=1)
        reported_at = sent_at if offset is None else self.started + offset * SECOND
        return sent_at if reported_at > latest else reported_at

    def _post(self, agent: str, report: dict[str, Any], reported_at: int | None) -> httpx.Response:
        headers = {} if reported_at is None else {"x-reported-at": str(reported_at)}
        path = f"/agent-execution/{quote(self.prefix + agent, safe='')}/report_task"
        return self.client.post(path, json=self._with_prefix(report), headers=headers)

    def _get(self, path: str, parameters: dict[str, Any] | None = None) -> httpx.Response:
        return self.client.get(path, params=parameters)

    def _get_task(self, run: str) -> httpx.Response:
        return self._get(f"/agent-execution/{quote(self._task_id(run), safe='')}/status")

    def _compare(self, run: str, response: dict[str, Any]) -> None:
        """Compare the response to a report with the model, and keep it as the last response."""
        task, values = self.tasks[run], self.tasks[run].values
        assert response["id"] == self._task_id(run)
        assert response["agent_id"] == self.prefix + task.agent
        assert response["organization_id"] == ORGANIZATION
        assert response["status"] == task.status
        assert response["input"].get("text") == values.get("input")
        # Compared as text, because the order of keys matters, and 1, 1.0 and true must stay different.
        assert json.dumps(response["llm_response"]) == json.dumps(values.get("llm_response"))
        for name in ("result", "duration", "user_id", "parent_task_id", "triggering_agent_id"):
            assert response[name] == values.get(name), name
        assert (response["used_tools"] or []) == values.get("used_tools", [])
        if "tokens" in values:
            assert response["tokens"] == {**task.tokens, "total_tokens": total_tokens(task.tokens)}
        else:
            assert response["tokens"] is None
        self._compare_times(task, response)
        task.last_response = response

    def _compare_times(self, task: ModelTask, response: dict[str, Any]) -> None:
        before = task.last_response
        created, updated = parse_time(response["created_at"]), parse_time(response["updated_at"])
        assert updated >= created - CLOCK_TOLERANCE
        if "created_at" in task.values:
            assert created == parse_time(task.values["created_at"])
        elif before:
            assert response["created_at"] == before["created_at"], "an update must keep the time of creation"
        if task.status == "executing":
            assert response["finished_at"] is None
            assert response["started_at"] is None
            return
        finished, started = parse_time(response["finished_at"]), parse_time(response["started_at"])
        if "finished_at" in task.values:
            assert finished == parse_time(task.values["finished_at"])
        elif "created_at" not in task.values:
            assert finished >= created - CLOCK_TOLERANCE
        if "finished_at" not in task.values and before.get("finished_at"):
            assert response["finished_at"] == before["finished_at"], "a task must end once"
        duration = timedelta(seconds=task.values.get("duration", 0))
        assert abs(finished - started - duration) <= timedelta(microseconds=1)

    def _compare_history(self, path: str, limit: int | None, filters: dict[str, str], expected: set[str]) -> None:
        parameters: dict[str, Any] = {
            name: self.prefix + value if name == "user_id" else value for name, value in filters.items()
        }
        if limit is not None:
            parameters["limit"] = limit
        items = list(self._list(path, parameters, limit or 1000, filters))
        assert Counter(item["id"] for item in items) == Counter(self._task_id(run) for run in expected)
        created = [parse_time(item["created_at"]) for item in items]
        assert created == sorted(created, reverse=True), "the newest task must come first"
        tasks_by_id = {task.last_response["id"]: task.last_response for task in self.tasks.values()}
        for item in items:
            task = tasks_by_id[item["id"]]
            common = item.keys() & task.keys()
            assert {name: item[name] for name in common} == {name: task[name] for name in common}

    def _list(
        self, path: str, parameters: dict[str, Any], limit: int, filters: dict[str, str]
    ) -> Iterator[dict[str, Any]]:
        while True:
            response = self._get(path, parameters)
            assert response.status_code == 200, response.text
            page = response.json()
            assert len(page) <= limit
            yield from page
            cursor = response.headers.get("x-next-cursor")
            if cursor is None:
                return
            # With filters, a page may have fewer tasks than its limit.
            assert filters or len(page) == limit, "only the last page may have fewer tasks than the limit"
            parameters = {**parameters, "cursor": cursor}


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers={"x-api-key": KEY}, timeout=20) as client:
        yield client


@pytest.mark.slow
def test_server_matches_model_after_any_reports(client: httpx.Client) -> None:
    run_state_machine_as_test(
        lambda: ServerMachine(client),
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],  # shrinking over HTTP takes minutes; add Phase.shrink to debug a failure
            suppress_health_check=list(HealthCheck),
        ),
    )
