"""Backend: the handle through which a program reports runs and reads metrics."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, SupportsFloat, cast

from xpander_sdk import _lazy
from xpander_sdk.backend_metrics import BackendMetrics
from xpander_sdk.client.transport_registry import transports
from xpander_sdk.reporting.tokens import Tokens, TokenUsage
from xpander_sdk.reporting.validation import Scalar, is_empty_builtin, resolve_agent_id
from xpander_sdk.runs.run import Run, new_run
from xpander_sdk.settings.configuration import Configuration, resolve_configuration
from xpander_sdk.task import Task

if TYPE_CHECKING:
    from datetime import timedelta
    from typing import Unpack
    from uuid import UUID

    from xpander_sdk.errors import ModuleException
    from xpander_sdk.model_call import ModelCall
    from xpander_sdk.outbox.outbox import Outbox
    from xpander_sdk.receipt import Receipt
    from xpander_sdk.reporting.fields import ReportArguments, ReportFields
    from xpander_sdk.reporting.report import Report


class HasId(Protocol):
    """Object that can be passed as an agent."""

    @property
    def id(self) -> str | None:
        """The id of the agent; None to use `agent_id`."""
        ...


class Backend(BackendMetrics):
    """Handle of a backend.

    Args:
        configuration: Backend and credentials. Default: a new `Configuration()`, from the environment.

    Raises:
        ValueError: The environment contains an invalid setting, or the argument is not a `Configuration`.

    Example:
        >>> backend = Backend(Configuration(base_url="sqlite:///runs.db"))
        >>> backend.report_external_task(agent_id="agent-123", id="ext-001", result="done").id
        'ext-001'
    """

    def with_options(self, **changes: Any) -> "Backend":
        """Return a backend with other settings.

        Args:
            **changes: Arguments of `Configuration`. Settings that are not named keep their values.

        Raises:
            ValueError: A setting is invalid.
            TypeError: An argument is unknown.

        Example:
            >>> from xpander_sdk import Timeouts
            >>> slow_backend = Backend().with_options(timeouts=Timeouts(total=120))
        """
        return Backend(self.configuration.with_options(**changes))

    def close(self) -> None:
        """Close the connections to this backend.

        Optional: they are closed at interpreter exit, and at the end of `with Backend() as backend:`. A later call
        opens new ones.
        """
        transports.close(self.configuration)

    async def aclose(self) -> None:
        """Close the connections to this backend in the running event loop.

        Optional: they are closed when the event loop ends, and at the end of `async with Backend() as backend:`. A
        later call opens new ones.
        """
        await transports.aclose(self.configuration)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def outbox(self) -> "Outbox":
        """The outbox of the configuration, else the user's default outbox.

        Raises:
            OutboxError: The file cannot be used.

        Example:
            >>> Backend().outbox.flush(5)
            True
        """
        return _lazy.registry.outbox_for(self.configuration)

    def report_external_task(
        self,
        agent_id: str | None = None,
        agent: HasId | None = None,
        id: "str | UUID | int | None" = None,
        input: Any | None = None,
        llm_response: Any | None = None,
        tokens: Tokens | TokenUsage | None = None,
        is_success: bool | Scalar | None = True,
        result: Any | None = None,
        duration: "SupportsFloat | timedelta | None" = 0,
        used_tools: Iterable[Any] | None = None,
        configuration: Configuration | None = None,
        *,
        error: str | BaseException | None = None,
        calls: "Iterable[ModelCall | Mapping[str, Any]] | None" = None,
        user_id: "str | UUID | int | None" = None,
        conversation_id: "str | UUID | int | None" = None,
        parent_task_id: "str | UUID | int | None" = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Task:
        """Record a run that was executed outside xpander.ai, or update its record.

        Blocks until the backend has responded. `areport_external_task` is the asynchronous form. In an update, None, a
        duration of 0 and empty `used_tools` keep the stored value. The default of `is_success` replaces the outcome.

        The keyword-only arguments are extended fields. A backend that does not support them gets the others only,
        and `error` in place of an empty `result`.

        Args:
            agent_id: The agent that executed the run. Default: the configuration's, else XPANDER_AGENT_ID.
            agent: Any object with an `id`, instead of `agent_id`. If both are passed, `agent` applies.
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
            configuration: Backend and credentials of this call. Default: the backend's configuration.
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
        """
        configuration, report = self._new_report(configuration, agent_id, agent, _lazy.fields.select(locals()))
        return Task._send_report(configuration, report)

    async def areport_external_task(
        self,
        agent_id: str | None = None,
        agent: HasId | None = None,
        id: "str | UUID | int | None" = None,
        input: Any | None = None,
        llm_response: Any | None = None,
        tokens: Tokens | TokenUsage | None = None,
        is_success: bool | Scalar | None = True,
        result: Any | None = None,
        duration: "SupportsFloat | timedelta | None" = 0,
        used_tools: Iterable[Any] | None = None,
        configuration: Configuration | None = None,
        *,
        error: str | BaseException | None = None,
        calls: "Iterable[ModelCall | Mapping[str, Any]] | None" = None,
        user_id: "str | UUID | int | None" = None,
        conversation_id: "str | UUID | int | None" = None,
        parent_task_id: "str | UUID | int | None" = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Task:
        """Record a run that was executed outside xpander.ai, or update its record.

        Runs on asyncio and on trio. `report_external_task` is the synchronous form. In an update, None, a
        duration of 0 and empty `used_tools` keep the stored value. The default of `is_success` replaces the outcome.

        The keyword-only arguments are extended fields. A backend that does not support them gets the others only,
        and `error` in place of an empty `result`.

        Args:
            agent_id: The agent that executed the run. Default: the configuration's, else XPANDER_AGENT_ID.
            agent: Any object with an `id`, instead of `agent_id`. If both are passed, `agent` applies.
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
            configuration: Backend and credentials of this call. Default: the backend's configuration.
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
        """
        configuration, report = self._new_report(configuration, agent_id, agent, _lazy.fields.select(locals()))
        return await Task._asend_report(configuration, report)

    def report_external_tasks(
        self, reports: "Iterable[ReportArguments]", *, configuration: Configuration | None = None
    ) -> "list[Task | ModuleException | ValueError | TypeError]":
        """Record many runs that were executed outside xpander.ai, or update their records.

        Blocks until the backend has responded. `areport_external_tasks` is the asynchronous form. Against a backend
        that takes many reports in one request, it sends batches of at most 256 reports and 1 MiB; against all others,
        one request for each report. Each report has its own outcome: an invalid one does not affect the others.
        Reports of one run are recorded in their order.

        Args:
            reports: A mapping for each report, with the arguments of `report_external_task` by name: `agent_id` or
                `agent`, `id`, `input`, `llm_response`, `tokens`, `is_success`, `result`, `duration`, `used_tools` and
                all other fields of a report. What is left out has the same default.
            configuration: Backend and credentials of this call. Default: the backend's configuration.

        Returns:
            An outcome for each report, in their order: the task in the backend after the report, or the exception that
            `report_external_task` would raise. That is a `ValueError` or a `TypeError` for an argument that is missing
            or invalid, else a `ModuleException`. With an outbox in the configuration, a report that can still be
            delivered is stored there, and the error's `receipt` is its receipt. Documents (`input`, `llm_response` and
            `result`) of a task of a batch are those of the report. After an error that concerns the backend, the
            remaining reports are not sent and have this error as well.

        Raises:
            ValueError: The configuration is incomplete, or `reports` is not a list of mappings. Nothing was sent.

        Example:
            >>> runs = [{"agent_id": "agent-123", "id": f"job-{number}", "result": "done"} for number in range(3)]
            >>> [task.id for task in Backend().report_external_tasks(runs)]
            ['job-0', 'job-1', 'job-2']
        """
        configuration, valid, outcomes = self._new_reports(configuration, reports)
        return _merged(outcomes, Task._send_reports(configuration, valid))

    async def areport_external_tasks(
        self, reports: "Iterable[ReportArguments]", *, configuration: Configuration | None = None
    ) -> "list[Task | ModuleException | ValueError | TypeError]":
        """Record many runs that were executed outside xpander.ai, or update their records.

        Runs on asyncio and on trio. `report_external_tasks` is the synchronous form. Against a backend that
        takes many reports in one request, it sends batches of at most 256 reports and 1 MiB; against all others, one
        request for each report. Each report has its own outcome: an invalid one does not affect the others. Reports of
        one run are recorded in their order.

        Args:
            reports: A mapping for each report, with the arguments of `report_external_task` by name: `agent_id` or
                `agent`, `id`, `input`, `llm_response`, `tokens`, `is_success`, `result`, `duration`, `used_tools` and
                all other fields of a report. What is left out has the same default.
            configuration: Backend and credentials of this call. Default: the backend's configuration.

        Returns:
            An outcome for each report, in their order: the task in the backend after the report, or the exception that
            `report_external_task` would raise. That is a `ValueError` or a `TypeError` for an argument that is missing
            or invalid, else a `ModuleException`. With an outbox in the configuration, a report that can still be
            delivered is stored there, and the error's `receipt` is its receipt. Documents (`input`, `llm_response` and
            `result`) of a task of a batch are those of the report. After an error that concerns the backend, the
            remaining reports are not sent and have this error as well.

        Raises:
            ValueError: The configuration is incomplete, or `reports` is not a list of mappings. Nothing was sent.

        Example:
            >>> import asyncio
            >>> runs = [{"agent_id": "agent-123", "id": f"job-{number}", "result": "done"} for number in range(3)]
            >>> [task.id for task in asyncio.run(Backend().areport_external_tasks(runs))]
            ['job-0', 'job-1', 'job-2']
        """
        configuration, valid, outcomes = self._new_reports(configuration, reports)
        return _merged(outcomes, await Task._asend_reports(configuration, valid))

    def submit_external_task(
        self,
        agent_id: str | None = None,
        agent: HasId | None = None,
        *,
        configuration: Configuration | None = None,
        **fields: "Unpack[ReportFields]",
    ) -> "Receipt[Task]":
        """Store a report in the outbox, a local file, and deliver it in the background.

        Does not wait for the network. `asubmit_external_task` is the asynchronous form. The report survives an
        outage of the backend and the end of this process. Reports of one run are delivered in their order; reports that
        are still waiting are merged into one. `Configuration(outbox=…)` sets the file and its limits.

        Args:
            agent_id: The agent that executed the run. Default: the configuration's, else XPANDER_AGENT_ID.
            agent: Any object with an `id`, instead of `agent_id`. If both are passed, `agent` applies.
            configuration: Backend and credentials of this call. Default: the backend's configuration.
            **fields: Data about the run, as in `report_external_task`:

                - `id`: The id of the run: str, UUID or int, 1 to 255 characters. A known id updates that task. Default:
                  a new id.
                - `input`: The request to the agent: text, a list of messages, of which the user's last one is stored,
                  or any other value, which is stored as JSON text. Default: None.
                - `llm_response`: The provider's response: JSON, or any object, which is converted to JSON. A stream is
                  described and not read. Default: None.
                - `tokens`: Token usage: `Tokens`, or the usage of a provider as a mapping or an object. Default: None.
                - `is_success`: True for success, False for failure, None for a run in progress. Default: True.
                - `result`: The final answer: text, a list of messages, of which the model's last one is stored, or any
                  other value, which is stored as JSON text. Default: None.
                - `duration`: Wall-clock time of the run: seconds or a timedelta. 0 means unknown. Default: 0.
                - `used_tools`: The tools that were called, one entry per call: names, or tool calls as dicts or
                  objects of an SDK. Default: no tools.
                - `error`: Why the run failed: text, or an exception. It does not change `is_success`. Of a text of more
                  than 16,384 characters, the middle is left out. Default: None.
                - `calls`: The model calls of the run, at most 1,000: dicts or objects with the fields of `ModelCall`,
                  or summaries of `xpander_sdk.responses`. Default: None.
                - `user_id`: The user for whom the agent worked: str, UUID or int. Default: None.
                - `conversation_id`: The conversation that the run belongs to: str, UUID or int. Default: None.
                - `parent_task_id`: The run that started this one: str, UUID or int. Default: None.
                - `metadata`: Pairs of texts by which history can be filtered: at most 64, names of at most 64
                  characters without "=", values of at most 512 characters. Default: None.

        Returns:
            A receipt: the report is stored. Its `wait`, or `await`, waits for the delivery.

        Raises:
            ValueError: An argument is missing or invalid, or there is no key. The report was not stored.
            TypeError: An argument is unknown. The report was not stored.
            OutboxFullError: The outbox has no room. The report was not stored.
            OutboxError: The outbox's file cannot be used. The report was not stored.

        Example:
            >>> receipt = Backend().submit_external_task(agent_id="agent-123", id="ext-job-9921", result="Up 22%")
            >>> receipt.wait(5)
            <ReceiptState.Delivered: 'delivered'>
        """
        configuration, report = self._new_report(configuration, agent_id, agent, fields)
        convert = partial(Task._from_record, configuration)
        return _lazy.registry.submit(configuration, report, convert)

    async def asubmit_external_task(
        self,
        agent_id: str | None = None,
        agent: HasId | None = None,
        *,
        configuration: Configuration | None = None,
        **fields: "Unpack[ReportFields]",
    ) -> "Receipt[Task]":
        """Store a report in the outbox, a local file, and deliver it in the background.

        Runs on asyncio and on trio. `submit_external_task` is the synchronous form. The report survives an
        outage of the backend and the end of this process. Reports of one run are delivered in their order; reports that
        are still waiting are merged into one. `Configuration(outbox=…)` sets the file and its limits.

        Args:
            agent_id: The agent that executed the run. Default: the configuration's, else XPANDER_AGENT_ID.
            agent: Any object with an `id`, instead of `agent_id`. If both are passed, `agent` applies.
            configuration: Backend and credentials of this call. Default: the backend's configuration.
            **fields: Data about the run, as in `report_external_task`:

                - `id`: The id of the run: str, UUID or int, 1 to 255 characters. A known id updates that task. Default:
                  a new id.
                - `input`: The request to the agent: text, a list of messages, of which the user's last one is stored,
                  or any other value, which is stored as JSON text. Default: None.
                - `llm_response`: The provider's response: JSON, or any object, which is converted to JSON. A stream is
                  described and not read. Default: None.
                - `tokens`: Token usage: `Tokens`, or the usage of a provider as a mapping or an object. Default: None.
                - `is_success`: True for success, False for failure, None for a run in progress. Default: True.
                - `result`: The final answer: text, a list of messages, of which the model's last one is stored, or any
                  other value, which is stored as JSON text. Default: None.
                - `duration`: Wall-clock time of the run: seconds or a timedelta. 0 means unknown. Default: 0.
                - `used_tools`: The tools that were called, one entry per call: names, or tool calls as dicts or
                  objects of an SDK. Default: no tools.
                - `error`: Why the run failed: text, or an exception. It does not change `is_success`. Of a text of more
                  than 16,384 characters, the middle is left out. Default: None.
                - `calls`: The model calls of the run, at most 1,000: dicts or objects with the fields of `ModelCall`,
                  or summaries of `xpander_sdk.responses`. Default: None.
                - `user_id`: The user for whom the agent worked: str, UUID or int. Default: None.
                - `conversation_id`: The conversation that the run belongs to: str, UUID or int. Default: None.
                - `parent_task_id`: The run that started this one: str, UUID or int. Default: None.
                - `metadata`: Pairs of texts by which history can be filtered: at most 64, names of at most 64
                  characters without "=", values of at most 512 characters. Default: None.

        Returns:
            A receipt: the report is stored. Its `wait`, or `await`, waits for the delivery.

        Raises:
            ValueError: An argument is missing or invalid, or there is no key. The report was not stored.
            TypeError: An argument is unknown. The report was not stored.
            OutboxFullError: The outbox has no room. The report was not stored.
            OutboxError: The outbox's file cannot be used. The report was not stored.

        Example:
            >>> import asyncio
            >>> async def submit():
            ...     receipt = await Backend().asubmit_external_task(agent_id="agent-123", result="Up 22%")
            ...     return await receipt
            >>> asyncio.run(submit())
            <ReceiptState.Delivered: 'delivered'>
        """
        configuration, report = self._new_report(configuration, agent_id, agent, fields)
        convert = partial(Task._from_record, configuration)
        return await _lazy.registry.asubmit(configuration, report, convert)

    def run(
        self,
        agent_id: str | None = None,
        agent: HasId | None = None,
        id: "str | UUID | int | None" = None,
        input: Any | None = None,
        *,
        user_id: str | None = None,
        conversation_id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        parent: Run | str | None = None,
        via: Literal["outbox", "direct"] | None = None,
        start: bool = True,
        sample: float = 1.0,
        mask: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None,
        enabled: bool = True,
        on_error: Literal["log", "raise"] = "log",
    ) -> Run:
        """Return a run that records itself: a context manager, a decorator, or two calls.

        The run measures its duration, collects what `Run.record` and `Run.watch` read from responses, and reports its
        end, also after an exception, which continues unchanged. Reporting never raises into the program. Nothing is
        imported, opened or started if XPANDER_RUNS is "off".

        Args:
            agent_id: The agent that executes the run. Default: the configuration's, else XPANDER_AGENT_ID.
            agent: Any object with an `id`, instead of `agent_id`. If both are passed, `agent` applies.
            id: The id of the run: str, UUID or int, 1 to 255 characters. A known id continues that run. Default: a new
                id.
            input: The request to the agent: text, messages or data. For a decorator also a function that receives the
                arguments of the call and returns it. Default: for a decorator, the argument that is named like a
                request (`question`, `prompt`, …), else the first text that is no credential, id or address.
            user_id: The user for whom the agent works. Default: that of the run around this one.
            conversation_id: The conversation that the run belongs to. Default: that of the run around this one.
            metadata: Facts that the program defines: at most 64 pairs of texts. Default: none.
            parent: The run that starts this one, or its id. Default: the current run.
            via: "outbox" stores the reports in the outbox, "direct" sends one request at the end and waits for it, at
                most 5 seconds. Default: "outbox" if the configuration has one, else "direct".
            start: Whether the outbox also reports the start, so that the run is visible while it is in progress.
                Default True.
            sample: Share of the runs that are recorded, from 0 to 1. The id decides, so all processes that report one
                run decide alike. Runs within a run that is not recorded are not recorded. Default 1.
            mask: Function that receives each report as a dict with the fields of the contract, and returns the dict
                that is stored and sent. If it raises, the texts of the run are removed and its numbers stay. Default:
                no mask.
            enabled: Whether this run is recorded. Default True.
            on_error: "log" logs errors of reporting, "raise" raises them, unless the caller's own exception passes
                through the run; for tests. Default "log".

        Returns:
            The run. It begins with its block, with the call of the decorated function, or with `Run.start`.

        Raises:
            ValueError: `via`, `sample`, `mask` or `on_error` is invalid.
            TypeError: The decorator has no parentheses.

        Example:
            >>> backend = Backend()
            >>> with backend.run(agent_id="agent-123", input="2 + 2?") as run:
            ...     run.result = "4"
            >>> @backend.run(agent_id="agent-123")
            ... def answer(question: str) -> str:
            ...     return "4"
            >>> answer("2 + 2?")
            '4'
        """
        if callable(agent_id):  # the function below `@backend.run`
            raise TypeError("agent_id must be a text, got a function; write @backend.run() with parentheses")
        configuration = self.configuration
        if not (enabled and configuration.runs):
            return Run(id, agent_id, input)
        return new_run(
            {
                "configuration": configuration, "agent_id": agent_id, "agent": agent, "id": id, "input": input,
                "user_id": user_id, "conversation_id": conversation_id, "metadata": metadata, "parent": parent,
                "via": via, "start": start, "sample": sample, "mask": mask, "on_error": on_error,
            }
        )  # fmt: skip

    def _new_reports(
        self, configuration: Configuration | None, reports: "Iterable[ReportArguments]"
    ) -> "tuple[Configuration, list[Report], list[ValueError | TypeError | None]]":
        """Return the configuration, the valid reports, and for each report its error or None."""
        configuration = self.configuration if configuration is None else resolve_configuration(configuration)
        if isinstance(reports, str | bytes | Mapping):
            raise _not_mappings(reports)
        valid: list[Report] = []
        outcomes: list[ValueError | TypeError | None] = []
        for arguments in reports:
            if not isinstance(arguments, Mapping):
                raise _not_mappings(arguments)
            fields: dict[str, Any] = dict(cast("Mapping[str, Any]", arguments))
            try:
                _, report = self._new_report(
                    configuration, fields.pop("agent_id", None), fields.pop("agent", None), fields
                )
                valid.append(report)
                outcomes.append(None)
            except (ValueError, TypeError) as error:
                outcomes.append(error)
        return configuration, valid, outcomes

    def _new_report(
        self, configuration: Configuration | None, agent_id: object, agent: object, fields: Mapping[str, Any]
    ) -> "tuple[Configuration, Report]":
        configuration = self.configuration if configuration is None else resolve_configuration(configuration)
        agent_id = resolve_agent_id(configuration, agent_id=agent_id, agent=agent)
        # The official client's Backend sends an empty list for None and other false values; its Task sends null.
        if is_empty_builtin(fields.get("used_tools")):
            fields = {**fields, "used_tools": []}
        return configuration, _lazy.report.new_report(agent_id, **fields)


def _not_mappings(value: object) -> ValueError:
    kind = type(value).__name__
    return ValueError(f"reports must be a list of mappings with the arguments of each report, got {kind}")


def _merged(
    outcomes: "list[ValueError | TypeError | None]", results: "list[Task | ModuleException]"
) -> "list[Task | ModuleException | ValueError | TypeError]":
    """Return an outcome for each report: its own error, else the next result."""
    following = iter(results)
    return [next(following) if error is None else error for error in outcomes]
