"""What a backend answers: tasks."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Self

from attrs import field, fields, frozen

from xpander_sdk import _lazy
from xpander_sdk.errors import ModuleException
from xpander_sdk.reporting.tokens import TOKEN_KINDS, Tokens
from xpander_sdk.reporting.validation import parse_datetime, resolve_agent_id
from xpander_sdk.settings.configuration import Configuration, resolve_configuration

if TYPE_CHECKING:
    from xpander_api import models


class AgentExecutionStatus(StrEnum):
    """What has become of a run. A value that is newer than this client is kept as it is.

    Example:
        >>> AgentExecutionStatus("completed") is AgentExecutionStatus.Completed
        True
        >>> str(AgentExecutionStatus("hibernating"))
        'hibernating'
    """

    Pending = "pending"
    Executing = "executing"
    Paused = "paused"
    Error = "error"
    Failed = "failed"
    Completed = "completed"
    Stopped = "stopped"

    @classmethod
    def _missing_(cls, value: object) -> "AgentExecutionStatus | None":
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_, member._value_ = value, value
        return member


@frozen(kw_only=True)
class TaskInput:
    """What the agent was asked."""

    text: str | None = None
    files: list[str] = field(factory=list)
    user: dict[str, Any] | None = None


@frozen(kw_only=True)
class Task:
    """The record that a backend keeps of one run. Times are in UTC; None stands for absent.

    Attributes:
        llm_response: the provider's response, as it was reported.
        extra: fields of the answer that this client does not know, by name.
        configuration: what it was loaded with.
    """

    id: str
    agent_id: str
    organization_id: str
    input: TaskInput
    status: AgentExecutionStatus
    created_at: datetime
    started_at: datetime | None = None
    paused_at: datetime | None = None
    finished_at: datetime | None = None
    updated_at: datetime | None = None
    internal_status: str | None = None
    agent_version: str | None = None
    result: str | None = None
    llm_response: Any = None
    tokens: Tokens | None = None
    used_tools: list[str] = field(factory=list)
    duration: float | None = None
    source: str | None = None
    title: str | None = None
    user_id: str | None = None
    parent_task_id: str | None = None
    triggering_agent_id: str | None = None
    parent_execution: str | None = None
    conversation_id: str | None = None
    execution_kind: str | None = None
    output_format: str | None = None
    output_schema: Any = None
    payload_extension: Any = None
    sub_executions: list[str] = field(factory=list)
    is_manually_stopped: bool | None = None
    execution_attempts: int | None = None
    extra: Mapping[str, Any] = field(factory=dict)
    configuration: Configuration | None = field(default=None, repr=False, eq=False)

    @classmethod
    def report_external_task(
        cls,
        configuration: Configuration | None = None,
        agent_id: str | None = None,
        id: str | None = None,
        input: str | None = None,
        llm_response: Any | None = None,
        tokens: Tokens | Mapping[str, Any] | None = None,
        is_success: bool | None = True,
        result: str | None = None,
        duration: float | None = 0,
        used_tools: Iterable[str] | None = [],
    ) -> Self:
        """Record a run that was executed outside xpander.ai, or update it.

        Documented at docs.xpander.ai under `Task.areport_external_task`; `areport_external_task` is the same without
        blocking the event loop.

        Args:
            configuration: who reports, and where to. Default: a new `Configuration()`, from the environment.
            agent_id: the agent that the run belongs to; else the configuration's, else XPANDER_AGENT_ID.
            id: the run's id. One that is known updates that record; None makes a new one.
            input: what the agent was asked.
            llm_response: the provider's raw response: JSON, or any object, which is turned into JSON within the bounds
                that `xpander_sdk.reporting.json_encoder` states.
            tokens: token usage, `Tokens` or a dict of its fields.
            is_success: whether the run went well; None while it goes on.
            result: the final answer.
            duration: wall-clock seconds.
            used_tools: names of the tools that were called, one entry a call.

        Returns:
            The task as the backend keeps it after this report.

        Raises:
            ValueError: an argument is missing, of a wrong type or out of bounds; nothing was sent.
            ModuleException: the backend refused, or did not answer; its `report_id` is the id to report again with.
                With an outbox configured, a report that may still go through is kept there: `receipt` is its receipt.

        Example:
            >>> task = Task.report_external_task(agent_id="agent-123", id="ext-job-9921", result="Up 22% YoY")
            >>> task.status
            <AgentExecutionStatus.Completed: 'completed'>
        """
        configuration = resolve_configuration(configuration)
        said = _lazy.report.new_report(
            resolve_agent_id(configuration, agent_id=agent_id),
            id=id,
            input=input,
            llm_response=llm_response,
            tokens=tokens,
            is_success=is_success,
            result=result,
            duration=duration,
            used_tools=used_tools,
        )
        operation = _lazy.operations.report_task(said).map(partial(cls._from_answer, configuration))
        try:
            return _lazy.client.send(configuration, operation)
        except ModuleException as error:
            if configuration.outbox is not None:
                _lazy.registry.keep(configuration, said, partial(cls._from_body, configuration), error)
            raise

    @classmethod
    async def areport_external_task(
        cls,
        configuration: Configuration | None = None,
        agent_id: str | None = None,
        id: str | None = None,
        input: str | None = None,
        llm_response: Any | None = None,
        tokens: Tokens | Mapping[str, Any] | None = None,
        is_success: bool | None = True,
        result: str | None = None,
        duration: float | None = 0,
        used_tools: Iterable[str] | None = [],
    ) -> Self:
        configuration = resolve_configuration(configuration)
        said = _lazy.report.new_report(
            resolve_agent_id(configuration, agent_id=agent_id),
            id=id,
            input=input,
            llm_response=llm_response,
            tokens=tokens,
            is_success=is_success,
            result=result,
            duration=duration,
            used_tools=used_tools,
        )
        operation = _lazy.operations.report_task(said).map(partial(cls._from_answer, configuration))
        try:
            return await _lazy.client.asend(configuration, operation)
        except ModuleException as error:
            if configuration.outbox is not None:
                await _lazy.registry.akeep(configuration, said, partial(cls._from_body, configuration), error)
            raise

    @classmethod
    def load(cls, task_id: str, configuration: Configuration | None = None) -> Self:
        """The task with this id, its `llm_response` included; `aload` is the same without blocking the event loop.

        Raises:
            NotFoundError: there is none in the organisation of the key.
            ModuleException: the backend refused, or did not answer.
        """
        configuration = resolve_configuration(configuration)
        operation = _lazy.operations.get_task(task_id).map(partial(cls._from_answer, configuration))
        return _lazy.client.send(configuration, operation)

    @classmethod
    async def aload(cls, task_id: str, configuration: Configuration | None = None) -> Self:
        """`load`, without blocking the event loop."""
        configuration = resolve_configuration(configuration)
        operation = _lazy.operations.get_task(task_id).map(partial(cls._from_answer, configuration))
        return await _lazy.client.asend(configuration, operation)

    def to_dict(self) -> dict[str, Any]:
        """The task as JSON has it, without the configuration."""
        names = [field.name for field in fields(type(self)) if field.name != "configuration"]
        return {name: _lazy.json_encoder.to_jsonable(getattr(self, name)) for name in names}

    @classmethod
    def _from_body(cls, configuration: Configuration, body: Any) -> Self:
        from xpander_api.models import Task

        return cls._from_answer(configuration, Task.from_dict(body))

    @classmethod
    def _from_answer(cls, configuration: Configuration, answer: "models.Task") -> Self:
        given, extra = _given(cls, answer)
        return cls(
            **{
                **given,
                "input": _input(answer.input_),
                "status": AgentExecutionStatus(str(answer.status)),
                "tokens": _tokens(given.get("tokens")),
                "extra": extra,
                "configuration": configuration,
            }
        )


@frozen(kw_only=True)
class TasksListItem:
    """A task as history shows it; `load()` gives the whole of it."""

    id: str
    agent_id: str
    organization_id: str
    status: AgentExecutionStatus
    user_id: str | None = None
    parent_task_id: str | None = None
    triggering_agent_id: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    source_node_type: str | None = None
    result: str | None = None
    title: str | None = None
    execution_kind: str | None = None
    process: Mapping[str, Any] | None = None
    conversation_kind: str | None = None
    configuration: Configuration | None = field(default=None, repr=False, eq=False)

    def load(self, configuration: Configuration | None = None) -> Task:
        """The whole task; with the configuration that listed it, where none is given. Errors as for `Task.load`."""
        return Task.load(self.id, configuration or self.configuration)

    async def aload(self, configuration: Configuration | None = None) -> Task:
        """`load`, without blocking the event loop."""
        return await Task.aload(self.id, configuration or self.configuration)

    @classmethod
    def _from_answer(cls, configuration: Configuration, answer: "models.TaskListItem") -> Self:
        given, _ = _given(cls, answer)
        return cls(**{**given, "status": AgentExecutionStatus(str(answer.status)), "configuration": configuration})


@cache
def _names(cls: type) -> tuple[tuple[str, bool], ...]:
    """The fields of a class, and whether they are times."""
    return tuple((attribute.name, attribute.name.endswith("_at")) for attribute in fields(cls))


def _given(cls: type, answer: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of the fields of `cls`, those that the generated model of the answer has; and what else there is."""
    from xpander_api.types import UNSET

    given, extra = {}, dict(answer.additional_properties)
    for name, is_time in _names(cls):
        value = getattr(answer, name, None)
        if value is None or value is UNSET:
            continue
        if not is_time:
            given[name] = value
        elif isinstance(value, datetime):
            given[name] = value if value.tzinfo is UTC else parse_datetime(name, value)
        else:
            extra[name] = value  # a time that is none: not worth losing the answer to a report that was recorded
    return given, extra


def _input(answer: "models.TaskInput") -> TaskInput:
    from xpander_api.types import Unset

    user = answer.user
    return TaskInput(
        text=answer.text if isinstance(answer.text, str) else None,
        files=answer.files if isinstance(answer.files, list) else [],
        user=None if user is None or isinstance(user, Unset) else user.to_dict(),
    )


def _tokens(answer: "models.Tokens | None") -> Tokens | None:
    if answer is None:
        return None
    given = {kind: getattr(answer, kind) for kind in TOKEN_KINDS}
    return Tokens(**{kind: count for kind, count in given.items() if isinstance(count, int)})
