"""Pytest plugin for programs that report runs: their tests reach no backend.

Load it in the `conftest.py` at the root of the tests:

    pytest_plugins = ["xpander_sdk.testing"]

From then on every call of the SDK in the test process uses a store in a temporary folder, one for each test, whatever
the program has configured and whenever it has created its backends. The fixture `recorded_runs` reads that store. The
environment names the store too, for programs that a test starts.

The plugin is not registered as an entry point. pytest would load an entry point in every project of an environment that
has the SDK, and a project that does not expect it could lose reports that it means to send.

The store needs the extra `server`: `pip install 'xpander-report[server]'`.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen

from xpander_sdk import _exit, _lazy
from xpander_sdk.backend import Backend
from xpander_sdk.settings import outbox as outbox_settings
from xpander_sdk.settings.configuration import Configuration, redirections
from xpander_sdk.settings.outbox import OutboxSettings
from xpander_sdk.settings.transport import TransportSettings
from xpander_sdk.task import Task
from xpander_sdk.tasks import Tasks

__all__ = ["RecordedRuns", "recorded_runs"]

_FLUSH_SECONDS = 10.0
# Variables that would lead to a backend, or turn the runs off.
_VARIABLES = (
    "XPANDER_API_KEY", "XPANDER_API_KEY_FILE", "XPANDER_ORGANIZATION_ID", "XPANDER_OUTBOX", "XPANDER_RUNS", "IS_STG",
)  # fmt: skip


@frozen
class _Redirection:
    """Function that returns the configuration of a temporary store in place of any other.

    Attributes:
        folder: Folder of the store and of the outbox.
    """

    folder: Path

    @property
    def base_url(self) -> str:
        """URL of the store."""
        return f"sqlite:///{self.folder / 'runs.db'}"

    @property
    def outbox_path(self) -> str:
        """Path of the outbox."""
        return str(self.folder / "outbox.db")

    def __call__(self, configuration: Configuration) -> Configuration:
        """Return the configuration with the temporary store; its outbox, if any, is a temporary one too."""
        if configuration.base_url == self.base_url:
            return configuration
        outbox = configuration.outbox
        return configuration.with_options(
            base_url=self.base_url,
            api_key=None,
            organization_id=None,
            transport=TransportSettings(),
            outbox=None if outbox is None else evolve(outbox, file=self.outbox_path),
            runs=True,
        )

    def install(self, patches: pytest.MonkeyPatch) -> None:
        """Redirect all calls of this process, and the environment of its children, until the patches are undone."""
        for name in _VARIABLES:
            patches.delenv(name, raising=False)
        patches.setenv("XPANDER_BASE_URL", self.base_url)
        # Programs may submit to the user's default outbox.
        patches.setattr(outbox_settings, "_default_paths", [self.outbox_path])
        redirections.append(self)

    def remove(self) -> None:
        """End the redirection, and close the store and the outbox."""
        try:
            if Path(self.outbox_path).exists():
                _lazy.registry.forget(self.outbox_path)
            Backend(Configuration(base_url=self.base_url)).close()
        finally:
            redirections.remove(self)


_session = pytest.StashKey[tuple[_Redirection, pytest.MonkeyPatch]]()


class RecordedRuns:
    """Runs that a test has recorded, and assertions about them. The fixture `recorded_runs` returns it.

    Attributes:
        configuration: Configuration of the temporary store.

    Example:
        >>> def test_agent_answers(recorded_runs: RecordedRuns) -> None:
        ...     answer("2 + 2?")  # a function of the program
        ...     recorded_runs.assert_recorded(input="2 + 2?", result="4", status="completed")
    """

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration

    def __iter__(self) -> Iterator[Task]:
        return iter(self.all())

    def __len__(self) -> int:
        return len(self.all())

    def all(self, agent_id: str | None = None) -> list[Task]:
        """Return the runs in the order in which they were recorded; reports in the outbox are delivered first.

        Args:
            agent_id: Only runs of this agent. Default: of all agents.

        Raises:
            AssertionError: The outbox could not deliver all reports.
        """
        backend = Backend(self.configuration)
        path = self.configuration.outbox.path if self.configuration.outbox else None
        if path is not None and Path(path).exists() and not backend.outbox.flush(_FLUSH_SECONDS):
            letters = "; ".join(letter.error for letter in backend.outbox.dead(limit=3))
            raise AssertionError(f"the outbox has not delivered all reports within {_FLUSH_SECONDS:g} s. {letters}")
        tasks = Tasks(self.configuration)
        agents = [agent_id] if agent_id is not None else _agents(backend)
        items = [item for agent in agents for item in tasks.iterate(agent)]
        return [item.load() for item in sorted(items, key=lambda item: (item.created_at, item.id))]

    @property
    def only(self) -> Task:
        """The only run.

        Raises:
            AssertionError: There is no run, or more than one.
        """
        tasks = self.all()
        if len(tasks) != 1:
            raise AssertionError(f"expected one run, got {len(tasks)}{_list(tasks)}")
        return tasks[0]

    def assert_recorded(self, **expected: Any) -> Task:
        """Assert that a run with these values was recorded, and return the last such run.

        Args:
            **expected: Attributes of `Task`, such as `agent_id`, `status`, `result` or `used_tools`. `input` is the
                text of the input. A value that is a type must be that of the attribute.

        Raises:
            AssertionError: No run has these values. The text lists the runs.
            TypeError: A name is no attribute of `Task`.
        """
        unknown = [name for name in expected if not hasattr(Task, name) and name not in Task.__annotations__]
        if unknown:
            raise TypeError(f"got unexpected names {', '.join(unknown)}; pass attributes of Task")
        tasks = self.all()
        for task in reversed(tasks):
            if all(_equals(_value(task, name), value) for name, value in expected.items()):
                return task
        wanted = ", ".join(f"{name}={value!r}" for name, value in expected.items())
        raise AssertionError(f"expected a run with {wanted}, got{_list(tasks, expected) or ' no run'}")

    def assert_none(self) -> None:
        """Assert that no run was recorded.

        Raises:
            AssertionError: A run was recorded.
        """
        tasks = self.all()
        if tasks:
            raise AssertionError(f"expected no run, got {len(tasks)}{_list(tasks)}")


@pytest.fixture
def recorded_runs(_xpander_reports_stay_local: Configuration) -> RecordedRuns:
    """Return the runs that this test has recorded so far."""
    return RecordedRuns(_xpander_reports_stay_local)


@pytest.fixture(autouse=True)
def _xpander_reports_stay_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Configuration]:
    """Yield the configuration of a temporary store, which all calls of the SDK in this test use."""
    redirection = _Redirection(tmp_path_factory.mktemp("xpander"))
    with pytest.MonkeyPatch.context() as patches:
        redirection.install(patches)
        try:
            yield Configuration(outbox=OutboxSettings(file=redirection.outbox_path))
        finally:
            redirection.remove()


def pytest_configure(config: pytest.Config) -> None:
    """Redirect the calls of modules that pytest imports, and of fixtures that outlive a test."""
    redirection, patches = _Redirection(Path(tempfile.mkdtemp(prefix="xpander-tests-"))), pytest.MonkeyPatch()
    redirection.install(patches)
    config.stash[_session] = redirection, patches
    # An outbox that the program uses outside of the tests may have reports; they are no matter of the tests.
    _exit.disable()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the redirection."""
    if _session in config.stash:
        redirection, patches = config.stash[_session]
        redirection.remove()
        patches.undo()
        shutil.rmtree(redirection.folder, ignore_errors=True)


def _agents(backend: Backend) -> list[str]:
    return list(backend.organization_metrics().agents or ())


def _value(task: Task, name: str) -> Any:
    return task.input.text if name == "input" else getattr(task, name)


def _equals(value: Any, expected: Any) -> bool:
    return isinstance(value, expected) if isinstance(expected, type) else bool(value == expected)


def _list(tasks: list[Task], expected: Any = ()) -> str:
    names = dict.fromkeys(["agent_id", "status", "input", "result", *expected])
    lines = (", ".join(f"{name}={_value(task, name)!r}" for name in names) for task in tasks[-20:])
    return "".join(f"\n  {line}" for line in lines)
