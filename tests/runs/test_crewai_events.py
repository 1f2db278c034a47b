"""Event listener of CrewAI with events in the orders in which CrewAI's threads may handle them.

CrewAI calls handlers in a pool of threads, so the end of a kickoff may be handled before its start. `make integrations`
runs the framework, which decides the order by itself. Here stand-ins for its modules make every order.
"""

import importlib
import itertools
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from xpander_sdk import Backend, Configuration, Tasks, Tokens
from xpander_sdk.integrations import background

START = datetime(2026, 1, 1, tzinfo=UTC)
STARTS = {"crew_kickoff_started", "llm_call_started", "tool_usage_started"}
ENDS = {"crew_kickoff_completed", "llm_call_completed"}
CREW = SimpleNamespace(name="weather", agents=[], tasks=[])


@pytest.fixture
def crewai(monkeypatch) -> Any:
    """Return the module of the listener, imported with stand-ins for the modules of CrewAI."""
    modules = {name: ModuleType(name) for name in ("crewai", "crewai.events")}
    base = modules["crewai.events.base_events"] = ModuleType("crewai.events.base_events")
    context = modules["crewai.events.event_context"] = ModuleType("crewai.events.event_context")
    vars(modules["crewai.events"]).update(BaseEventListener=type("BaseEventListener", (), {}))
    vars(base).update(BaseEvent=type("BaseEvent", (), {}))
    vars(context).update(SCOPE_STARTING_EVENTS=frozenset(STARTS), SCOPE_ENDING_EVENTS=frozenset(ENDS))
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    name = "xpander_sdk.integrations.crewai"
    monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module(name)
    del sys.modules[name]


def kickoff(number: int) -> list[Any]:
    """Return the events of a kickoff with a tool and a model call, in the order in which CrewAI emits them."""

    def event(second: int, kind: str, *, parent: int | None = None, begun: int | None = None, **values: Any) -> Any:
        return SimpleNamespace(
            event_id=f"{number}-{second}", type=kind, timestamp=START + timedelta(seconds=second),
            emission_sequence=10 * number + second,
            parent_event_id=None if parent is None else f"{number}-{parent}",
            started_event_id=None if begun is None else f"{number}-{begun}", **values,
        )  # fmt: skip

    usage = {"prompt_tokens": 61, "completion_tokens": 17, "cached_prompt_tokens": 40}
    return [
        event(1, "crew_kickoff_started", inputs={"kickoff": number}, crew_name="weather"),
        event(2, "tool_usage_started", parent=1, tool_name="get_weather"),
        event(3, "llm_call_started", parent=1),
        event(4, "llm_call_completed", parent=1, begun=3, call_id="c1", model="gpt-5-mini", usage=usage),
        event(5, "crew_kickoff_completed", begun=1, output="Rainy."),
    ]


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    return Configuration(base_url=f"sqlite:///{tmp_path}/store.db")


def assert_whole_runs(configuration: Configuration, number: int) -> None:
    """Assert that each of some kickoffs is one run with everything that its events state."""
    assert background.flush(60)
    tasks = Tasks(configuration=configuration)
    found = [tasks.get(item.id) for item in tasks.iterate("weather")]
    inputs = sorted(json.loads(task.input.text)["kickoff"] for task in found)
    assert inputs == list(range(number))
    tokens = Tokens(prompt_tokens=61, completion_tokens=17, cache_read_tokens=40)
    for task in found:
        facts = (task.agent_id, task.status.value, task.result, task.duration, task.used_tools, task.tokens)
        assert facts == ("weather", "completed", "Rainy.", 4.0, ["get_weather"], tokens)


def test_run_is_whole_in_every_order_of_its_events(crewai, configuration):
    listener = crewai.EventListener(Backend(configuration))
    orders = list(itertools.permutations(range(5)))
    for number, order in enumerate(orders):
        events = kickoff(number)
        for position in order:
            listener._on_event(CREW, events[position])
        assert background.flush(60)
    assert_whole_runs(configuration, len(orders))


def test_run_is_whole_if_threads_handle_its_events_at_the_same_time(crewai, configuration):
    listener = crewai.EventListener(Backend(configuration))
    with ThreadPoolExecutor(5) as pool:
        for number in range(50):
            barrier = threading.Barrier(5)

            def handle(event: Any, barrier: threading.Barrier = barrier) -> None:
                barrier.wait(60)
                listener._on_event(CREW, event)

            list(pool.map(handle, kickoff(number)))
            assert background.flush(60)
    assert_whole_runs(configuration, 50)
