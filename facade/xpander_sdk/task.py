"""Task: the record of one run in a backend."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self, SupportsFloat

from xpander_sdk import _lazy
from xpander_sdk._records import DEFERRABLE, evolve, field, frozen
from xpander_sdk.api_object import ApiObject, ConfigurationReference
from xpander_sdk.errors import ModuleException
from xpander_sdk.model_call import ModelCall
from xpander_sdk.reporting.tokens import Tokens, TokenUsage
from xpander_sdk.reporting.validation import Scalar, resolve_agent_id
from xpander_sdk.settings.configuration import Configuration, resolve_configuration
from xpander_sdk.task_status import AgentExecutionStatus

if TYPE_CHECKING:
    from datetime import timedelta
    from uuid import UUID

    from xpander_sdk.client.operations import Operation
    from xpander_sdk.client.task_record import TaskRecord
    from xpander_sdk.reporting.report import Report


@frozen(kw_only=True, repr=False)
class TaskInput(ApiObject):
    """Input of a run.

    Attributes:
        text: The request to the agent; None if it was not reported.
        files: Files that belong to the request, as the backend identifies them.
        user: The user who made the request, as a dict of the backend's fields; None if it is not known.
    """

    text: str | None = None
    files: list[str] = field(factory=list)
    user: dict[str, Any] | None = None


@frozen(kw_only=True, repr=False)
class Task(ApiObject):
    """Record of one run. All times are in UTC. A value that the backend does not have is None.

    Attributes:
        id: The id of the run.
        agent_id: The agent that executed the run.
        organization_id: The organization that owns the agent; None if neither the response nor the configuration names
            it.
        input: Input of the run.
        status: Status of the run.
        is_stale: True for an executing run that no report has changed for the time that the backend states in
            `/health`: it has probably been killed. None if the backend does not tell.
        created_at: Time at which the backend created the record; if the response to a report lacks it, the time of the
            report.
        started_at: Time at which the run started: its end, minus its duration.
        paused_at: Time at which the run was paused.
        finished_at: Time at which the run ended, or else at which its outcome was first reported; None while it is in
            progress.
        updated_at: Time at which a report last changed the record.
        internal_status: Status in the executing system's own terms.
        agent_version: Version of the agent.
        result: The final answer.
        error: Why the run failed.
        llm_response: The provider's response, as it was reported.
        tokens: Token usage: as reported, else the sum of the calls.
        model: Model of the run; None if the backend does not know it.
        cost: Cost of the run in US dollars; None if the backend does not know it.
        calls: Model calls of the run.
        used_tools: Names of the tools that were called, one entry per call.
        duration: Wall-clock time of the run, in seconds.
        source: Origin of the task; "external" for a reported run.
        title: Title of the run.
        user_id: The user for whom the agent worked.
        parent_task_id: Task that started this one.
        triggering_agent_id: Agent that started this task.
        parent_execution: Execution that started this one.
        conversation_id: Conversation that the run belongs to.
        metadata: Pairs of texts that the caller defines.
        execution_kind: Kind of the execution.
        output_format: Requested format of the result.
        output_schema: Requested JSON schema of the result.
        payload_extension: Additional data of the execution.
        sub_executions: Ids of the executions that this one started.
        is_manually_stopped: True if a person stopped the run.
        execution_attempts: Number of times that the run was attempted.
        extra: Fields of the response that this version of the SDK does not know, or that have another type than the
            API's, by name.
    """

    _first_fields: ClassVar[tuple[str, ...]] = (
        "id", "agent_id", "status", "error", "result", "input", "duration", "tokens", "model", "cost",
        "used_tools", "title", "user_id",
    )  # fmt: skip

    id: str
    agent_id: str
    organization_id: str | None
    input: TaskInput
    status: AgentExecutionStatus
    created_at: datetime | None
    is_stale: bool | None = None
    started_at: datetime | None = None
    paused_at: datetime | None = None
    finished_at: datetime | None = None
    updated_at: datetime | None = None
    internal_status: str | None = None
    agent_version: str | None = None
    result: str | None = None
    error: str | None = None
    llm_response: Any = field(default=None, metadata=DEFERRABLE)
    tokens: Tokens | None = None
    model: str | None = None
    cost: float | None = None
    calls: list[ModelCall] = field(factory=list)
    used_tools: list[str] = field(factory=list)
    duration: float | None = None
    source: str | None = None
    title: str | None = None
    user_id: str | None = None
    parent_task_id: str | None = None
    triggering_agent_id: str | None = None
    parent_execution: str | None = None
    conversation_id: str | None = None
    metadata: dict[str, str] = field(factory=dict)
    execution_kind: str | None = None
    output_format: str | None = None
    output_schema: Any = None
    payload_extension: Any = None
    sub_executions: list[str] = field(factory=list)
    is_manually_stopped: bool | None = None
    execution_attempts: int | None = None
    extra: Mapping[str, Any] = field(factory=dict)
    _configuration: ConfigurationReference = field(
        default=None, converter=ConfigurationReference, alias="configuration", repr=False, eq=False
    )

    @property
    def configuration(self) -> Configuration | None:
        """Configuration that loaded the task; None after unpickling. Not part of repr, dict, pickle and comparisons."""
        return self._configuration.configuration

    @classmethod
    def report_external_task(
        cls,
        configuration: Configuration | None = None,
        agent_id: str | None = None,
        id: "str | UUID | int | None" = None,
        input: Any | None = None,
        llm_response: Any | None = None,
        tokens: Tokens | TokenUsage | None = None,
        is_success: bool | Scalar | None = True,
        result: Any | None = None,
        duration: "SupportsFloat | timedelta | None" = 0,
        used_tools: Iterable[Any] | None = [],
        *,
        error: str | BaseException | None = None,
        calls: "Iterable[ModelCall | Mapping[str, Any]] | None" = None,
        user_id: "str | UUID | int | None" = None,
        conversation_id: "str | UUID | int | None" = None,
        parent_task_id: "str | UUID | int | None" = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Self:
        """Record a run that was executed outside xpander.ai, or update its record.

        Blocks until the backend has responded. `areport_external_task` is the asynchronous form. In an update, None, a
        duration of 0 and empty `used_tools` keep the stored value. The default of `is_success` replaces the outcome.

        The keyword-only arguments are extended fields. A backend that does not support them gets the others only, and
        `error` in place of an empty `result`.

        Args:
            configuration: Backend and credentials. Default: a new `Configuration()`, from the environment.
            agent_id: The agent that executed the run. Default: the configuration's, else XPANDER_AGENT_ID.
            id: The id of the run: str, UUID or int, 1 to 255 characters. A known id updates that task. Default: None,
                for a new id.
            input: The request to the agent: text, a list of messages, of which the user's last one is stored, or any
                other value, which is stored as JSON text. Default: None.
            llm_response: The provider's response: JSON, or any object, which is converted to JSON within the limits
                that `xpander_sdk.reporting.json_encoder` states. A stream is described and not read. Default: None.
            tokens: Token usage: `Tokens`, or the usage of a provider (OpenAI, Anthropic, Gemini, Bedrock and others) as
                a mapping or an object. Default: None.
            is_success: True for success, False for failure, None for a run in progress. Default: True.
            result: The final answer: text, a list of messages, of which the model's last one is stored, or any other
                value, which is stored as JSON text. Default: None.
            duration: Wall-clock time of the run: seconds or a timedelta. 0 means unknown; metrics count a negative
                duration as zero. Default: 0.
            used_tools: The tools that were called, one entry per call: names, or tool calls as dicts or objects of an
                SDK. Default: no tools.
            error: Why the run failed: text, or an exception. It does not change `is_success`. Of a text of more than
                16,384 characters, the middle is left out. Default: None.
            calls: The model calls of the run, at most 1,000: dicts or objects with the fields of `ModelCall`, or
                summaries of `xpander_sdk.responses`. Each is priced by its own model. Without `tokens`, the task has
                their sum. Default: None.
            user_id: The user for whom the agent worked: str, UUID or int. Default: None.
            conversation_id: The conversation that the run belongs to: str, UUID or int. Default: None.
            parent_task_id: The run that started this one: str, UUID or int. Default: None.
            metadata: Pairs of texts by which history can be filtered: at most 64, names of at most 64 characters
                without "=", values of at most 512 characters. Numbers, booleans, UUIDs and enums are converted.
                Default: None.

        Returns:
            The task in the backend after this report.

        Raises:
            ValueError: An argument is missing or invalid. No request was sent.
            ModuleException: The backend rejected the report or did not respond. The error's `report_id` is the id for
                another attempt. With an outbox in the configuration, a report that can still be delivered is stored
                there, and the error's `receipt` is its receipt.

        Example:
            >>> task = Task.report_external_task(agent_id="agent-123", id="ext-job-9921", result="Up 22% YoY")
            >>> task.status
            <AgentExecutionStatus.Completed: 'completed'>
        """
        configuration = resolve_configuration(configuration)
        agent_id = resolve_agent_id(configuration, agent_id=agent_id)
        report = _lazy.report.new_report(agent_id, **_lazy.fields.select(locals()))
        return cls._send_report(configuration, report)

    @classmethod
    async def areport_external_task(
        cls,
        configuration: Configuration | None = None,
        agent_id: str | None = None,
        id: "str | UUID | int | None" = None,
        input: Any | None = None,
        llm_response: Any | None = None,
        tokens: Tokens | TokenUsage | None = None,
        is_success: bool | Scalar | None = True,
        result: Any | None = None,
        duration: "SupportsFloat | timedelta | None" = 0,
        used_tools: Iterable[Any] | None = [],
        *,
        error: str | BaseException | None = None,
        calls: "Iterable[ModelCall | Mapping[str, Any]] | None" = None,
        user_id: "str | UUID | int | None" = None,
        conversation_id: "str | UUID | int | None" = None,
        parent_task_id: "str | UUID | int | None" = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Self:
        """Record a run that was executed outside xpander.ai, or update its record.

        Runs on asyncio and on trio. `report_external_task` is the synchronous form. In an update, None, a
        duration of 0 and empty `used_tools` keep the stored value. The default of `is_success` replaces the outcome.

        The keyword-only arguments are extended fields. A backend that does not support them gets the others only, and
        `error` in place of an empty `result`.

        Args:
            configuration: Backend and credentials. Default: a new `Configuration()`, from the environment.
            agent_id: The agent that executed the run. Default: the configuration's, else XPANDER_AGENT_ID.
            id: The id of the run: str, UUID or int, 1 to 255 characters. A known id updates that task. Default: None,
                for a new id.
            input: The request to the agent: text, a list of messages, of which the user's last one is stored, or any
                other value, which is stored as JSON text. Default: None.
            llm_response: The provider's response: JSON, or any object, which is converted to JSON within the limits
                that `xpander_sdk.reporting.json_encoder` states. A stream is described and not read. Default: None.
            tokens: Token usage: `Tokens`, or the usage of a provider (OpenAI, Anthropic, Gemini, Bedrock and others) as
                a mapping or an object. Default: None.
            is_success: True for success, False for failure, None for a run in progress. Default: True.
            result: The final answer: text, a list of messages, of which the model's last one is stored, or any other
                value, which is stored as JSON text. Default: None.
            duration: Wall-clock time of the run: seconds or a timedelta. 0 means unknown; metrics count a negative
                duration as zero. Default: 0.
            used_tools: The tools that were called, one entry per call: names, or tool calls as dicts or objects of an
                SDK. Default: no tools.
            error: Why the run failed: text, or an exception. It does not change `is_success`. Of a text of more than
                16,384 characters, the middle is left out. Default: None.
            calls: The model calls of the run, at most 1,000: dicts or objects with the fields of `ModelCall`, or
                summaries of `xpander_sdk.responses`. Each is priced by its own model. Without `tokens`, the task has
                their sum. Default: None.
            user_id: The user for whom the agent worked: str, UUID or int. Default: None.
            conversation_id: The conversation that the run belongs to: str, UUID or int. Default: None.
            parent_task_id: The run that started this one: str, UUID or int. Default: None.
            metadata: Pairs of texts by which history can be filtered: at most 64, names of at most 64 characters
                without "=", values of at most 512 characters. Numbers, booleans, UUIDs and enums are converted.
                Default: None.

        Returns:
            The task in the backend after this report.

        Raises:
            ValueError: An argument is missing or invalid. No request was sent.
            ModuleException: The backend rejected the report or did not respond. The error's `report_id` is the id for
                another attempt. With an outbox in the configuration, a report that can still be delivered is stored
                there, and the error's `receipt` is its receipt.

        Example:
            >>> import asyncio
            >>> task = asyncio.run(Task.areport_external_task(agent_id="agent-123", result="Up 22% YoY"))
            >>> task.status
            <AgentExecutionStatus.Completed: 'completed'>
        """
        configuration = resolve_configuration(configuration)
        agent_id = resolve_agent_id(configuration, agent_id=agent_id)
        report = _lazy.report.new_report(agent_id, **_lazy.fields.select(locals()))
        return await cls._asend_report(configuration, report)

    @classmethod
    def load(cls, task_id: str, configuration: Configuration | None = None) -> Self:
        """Load a task.

        Blocks until the backend has responded. `aload` is the asynchronous form.

        Args:
            task_id: The id of the run.
            configuration: Backend and credentials. Default: a new `Configuration()`, from the environment.

        Returns:
            The complete task, `llm_response` included.

        Raises:
            ValueError: The id is invalid. No request was sent.
            NotFoundError: The organization has no such task.
            ModuleException: The backend returned another error, or did not respond.
        """
        configuration = resolve_configuration(configuration)
        return _lazy.client.send(configuration, cls._load_operation(configuration, task_id))

    @classmethod
    async def aload(cls, task_id: str, configuration: Configuration | None = None) -> Self:
        """Load a task.

        Runs on asyncio and on trio. `load` is the synchronous form.

        Args:
            task_id: The id of the run.
            configuration: Backend and credentials. Default: a new `Configuration()`, from the environment.

        Returns:
            The complete task, `llm_response` included.

        Raises:
            ValueError: The id is invalid. No request was sent.
            NotFoundError: The organization has no such task.
            ModuleException: The backend returned another error, or did not respond.
        """
        configuration = resolve_configuration(configuration)
        return await _lazy.client.asend(configuration, cls._load_operation(configuration, task_id))

    @classmethod
    def _send_report(cls, configuration: Configuration, report: "Report") -> Self:
        if _lazy.client.is_about_own_logs():
            return cls._from_report(configuration, report)
        try:
            return _lazy.client.send(configuration, cls._report_operation(configuration, report))
        except ModuleException as error:
            if configuration.outbox is not None:
                _lazy.registry.keep(configuration, report, partial(cls._from_record, configuration), error)
            raise

    @classmethod
    async def _asend_report(cls, configuration: Configuration, report: "Report") -> Self:
        if _lazy.client.is_about_own_logs():
            return cls._from_report(configuration, report)
        try:
            return await _lazy.client.asend(configuration, cls._report_operation(configuration, report))
        except ModuleException as error:
            if configuration.outbox is not None:
                await _lazy.registry.akeep(configuration, report, partial(cls._from_record, configuration), error)
            raise

    @classmethod
    def _send_reports(cls, configuration: Configuration, reports: "Sequence[Report]") -> "list[Self | ModuleException]":
        if _lazy.client.is_about_own_logs():
            return [cls._from_report(configuration, report) for report in reports]
        results = _lazy.bulk_reports.send_all(configuration, reports)
        for report, result in zip(reports, results, strict=True):
            if isinstance(result, ModuleException) and configuration.outbox is not None:
                _lazy.registry.keep(configuration, report, partial(cls._from_record, configuration), result)
        return cls._from_results(configuration, results)

    @classmethod
    async def _asend_reports(
        cls, configuration: Configuration, reports: "Sequence[Report]"
    ) -> "list[Self | ModuleException]":
        if _lazy.client.is_about_own_logs():
            return [cls._from_report(configuration, report) for report in reports]
        results = await _lazy.bulk_reports.asend_all(configuration, reports)
        for report, result in zip(reports, results, strict=True):
            if isinstance(result, ModuleException) and configuration.outbox is not None:
                await _lazy.registry.akeep(configuration, report, partial(cls._from_record, configuration), result)
        return cls._from_results(configuration, results)

    @classmethod
    def _from_results(
        cls, configuration: Configuration, results: "Iterable[TaskRecord | ModuleException]"
    ) -> "list[Self | ModuleException]":
        return [
            result if isinstance(result, ModuleException) else cls._from_record(configuration, result)
            for result in results
        ]

    @classmethod
    def _report_operation(cls, configuration: Configuration, report: "Report") -> "Operation[Self]":
        return _lazy.operations.report_task(report).map(partial(cls._from_record, configuration))

    @classmethod
    def _load_operation(cls, configuration: Configuration, task_id: str) -> "Operation[Self]":
        return _lazy.operations.get_task(task_id).map(partial(cls._from_record, configuration))

    @classmethod
    def _from_report(cls, configuration: Configuration, report: "Report") -> Self:
        """Return the task as the report describes it, for a report that is not sent."""
        from xpander_sdk.client.task_record import read_reported_task

        record = read_reported_task({}, report)
        return cls._from_record(configuration, evolve(record, unusual=()))

    @classmethod
    def _from_record(cls, configuration: Configuration, record: "TaskRecord") -> Self:
        if record.unusual:
            _lazy.client.warn_of_unusual_response(configuration, record.unusual)
        values = {name: value for name, value in record.values.items() if value is not None}
        return cls(
            **{
                "organization_id": configuration.organization_id,
                "created_at": None,
                **values,
                "input": TaskInput(**values.get("input", {})),
                "calls": [ModelCall(**call) for call in values.get("calls", ())],
                "status": AgentExecutionStatus(values["status"]),
                "extra": record.extra,
                "configuration": configuration,
            }
        )
