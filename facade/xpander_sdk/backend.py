"""The user's handle on a backend."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from xpander_sdk import _lazy, metrics
from xpander_sdk.client.transport_registry import transports
from xpander_sdk.metrics import Metrics
from xpander_sdk.reporting.tokens import Tokens
from xpander_sdk.reporting.validation import parse_datetime, resolve_agent_id
from xpander_sdk.settings.configuration import Configuration, resolve_configuration
from xpander_sdk.task import Task

if TYPE_CHECKING:
    from xpander_sdk.client import operations
    from xpander_sdk.outbox.outbox import Outbox
    from xpander_sdk.receipt import Receipt


class HasId(Protocol):
    """Anything with an id can stand for an agent."""

    @property
    def id(self) -> str | None: ...


class Backend:
    """A backend, as one configuration reaches it.

    Args:
        configuration: who reports, and where to. Default: a new `Configuration()`, from the environment as it is now.

    Example:
        >>> backend = Backend(Configuration(base_url="sqlite:///runs.db"))
        >>> backend.report_external_task(agent_id="agent-123", id="ext-001", result="done").id
        'ext-001'
    """

    def __init__(self, configuration: Configuration | None = None) -> None:
        self.configuration = resolve_configuration(configuration)

    def with_options(self, **changes: Any) -> "Backend":
        """A backend with other settings; the arguments are those of `Configuration`.

        Example:
            >>> from xpander_sdk import Timeouts
            >>> patient = Backend().with_options(timeouts=Timeouts(total=120))
        """
        return Backend(self.configuration.with_options(**changes))

    def close(self) -> None:
        """Close the connections that are kept for this target. Not a must: they are closed when the program ends, and a
        later call opens new ones. `with Backend() as backend:` closes at its end."""
        transports.close(self.configuration)

    async def aclose(self) -> None:
        """Close the connections that are kept for this target in this event loop, as its end would do, too."""
        await transports.aclose(self.configuration)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def report_external_task(
        self,
        agent_id: str | None = None,
        agent: HasId | None = None,
        id: str | None = None,
        input: str | None = None,
        llm_response: Any | None = None,
        tokens: Tokens | Mapping[str, Any] | None = None,
        is_success: bool | None = True,
        result: str | None = None,
        duration: float | None = 0,
        used_tools: Iterable[str] | None = None,
        configuration: Configuration | None = None,
    ) -> Task:
        """Record a run that was executed outside xpander.ai, or update it: `Task.report_external_task`, from here.

        Documented at docs.xpander.ai under `Backend.areport_external_task`; `areport_external_task` is the same without
        blocking the event loop. The arguments that are not named below are those of `Task.report_external_task`.

        Args:
            agent_id: the agent that the run belongs to.
            agent: any object with an `id`, which comes before `agent_id`. Where neither is given, the configuration's
                agent is meant, else XPANDER_AGENT_ID.
            used_tools: names of the tools that were called; None for none.
            configuration: for this call alone, in place of the backend's.

        Returns:
            The task as the backend keeps it after this report.

        Raises:
            ValueError: an argument is missing, of a wrong type or out of bounds; nothing was sent.
            ModuleException: the backend refused, or did not answer; its `report_id` is the id to report again with.
        """
        configuration = self.configuration if configuration is None else resolve_configuration(configuration)
        return Task.report_external_task(
            configuration=configuration,
            agent_id=resolve_agent_id(configuration, agent_id=agent_id, agent=agent),
            id=id,
            input=input,
            llm_response=llm_response,
            tokens=tokens,
            is_success=is_success,
            result=result,
            duration=duration,
            used_tools=used_tools or [],
        )

    async def areport_external_task(
        self,
        agent_id: str | None = None,
        agent: HasId | None = None,
        id: str | None = None,
        input: str | None = None,
        llm_response: Any | None = None,
        tokens: Tokens | Mapping[str, Any] | None = None,
        is_success: bool | None = True,
        result: str | None = None,
        duration: float | None = 0,
        used_tools: Iterable[str] | None = None,
        configuration: Configuration | None = None,
    ) -> Task:
        """`report_external_task`, without blocking the event loop."""
        configuration = self.configuration if configuration is None else resolve_configuration(configuration)
        return await Task.areport_external_task(
            configuration=configuration,
            agent_id=resolve_agent_id(configuration, agent_id=agent_id, agent=agent),
            id=id,
            input=input,
            llm_response=llm_response,
            tokens=tokens,
            is_success=is_success,
            result=result,
            duration=duration,
            used_tools=used_tools or [],
        )

    @property
    def outbox(self) -> "Outbox":
        """The outbox that this backend's configuration names, else the user's own: its books, its dead letters, and how
        to wait for it.

        Raises:
            OutboxError: the file cannot be used.

        Example:
            >>> Backend().outbox.flush(5)
            True
        """
        return _lazy.registry.outbox_for(self.configuration)

    def submit_external_task(
        self,
        agent_id: str | None = None,
        agent: HasId | None = None,
        id: str | None = None,
        input: str | None = None,
        llm_response: Any | None = None,
        tokens: Tokens | Mapping[str, Any] | None = None,
        is_success: bool | None = True,
        result: str | None = None,
        duration: float | None = 0,
        used_tools: Iterable[str] | None = None,
        configuration: Configuration | None = None,
    ) -> "Receipt[Task]":
        """Keep a report on this machine, and deliver it in the background: the call waits for no network, and the
        report survives an outage of the backend and the end of this process. `asubmit_external_task` is the same
        without blocking the event loop.

        The arguments are those of `report_external_task`. Reports of one id are delivered in the order given; of those
        that still wait, what was said last is sent, once. Where to, and how much is kept: `Configuration(outbox=…)`.

        Returns:
            A receipt: the report is kept. Its `wait` and `await` tell what became of it.

        Raises:
            ValueError: an argument is missing, of a wrong type or out of bounds, or there is no key to deliver it with;
                nothing was kept.
            OutboxFullError: there is no room for it.
            OutboxError: the outbox's file cannot be used.

        Example:
            >>> receipt = Backend().submit_external_task(agent_id="agent-123", id="ext-job-9921", result="Up 22%")
            >>> receipt.wait(5)
            <ReceiptState.Delivered: 'delivered'>
        """
        configuration = self.configuration if configuration is None else resolve_configuration(configuration)
        said = _lazy.report.new_report(
            resolve_agent_id(configuration, agent_id=agent_id, agent=agent),
            id=id,
            input=input,
            llm_response=llm_response,
            tokens=tokens,
            is_success=is_success,
            result=result,
            duration=duration,
            used_tools=used_tools or [],
        )
        return _lazy.registry.submit(configuration, said, partial(Task._from_body, configuration))

    async def asubmit_external_task(
        self,
        agent_id: str | None = None,
        agent: HasId | None = None,
        id: str | None = None,
        input: str | None = None,
        llm_response: Any | None = None,
        tokens: Tokens | Mapping[str, Any] | None = None,
        is_success: bool | None = True,
        result: str | None = None,
        duration: float | None = 0,
        used_tools: Iterable[str] | None = None,
        configuration: Configuration | None = None,
    ) -> "Receipt[Task]":
        """`submit_external_task`, without blocking the event loop."""
        configuration = self.configuration if configuration is None else resolve_configuration(configuration)
        said = _lazy.report.new_report(
            resolve_agent_id(configuration, agent_id=agent_id, agent=agent),
            id=id,
            input=input,
            llm_response=llm_response,
            tokens=tokens,
            is_success=is_success,
            result=result,
            duration=duration,
            used_tools=used_tools or [],
        )
        return await _lazy.registry.asubmit(configuration, said, partial(Task._from_body, configuration))

    def metrics(
        self,
        agent_id: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        by: Literal["hour", "day"] | None = None,
    ) -> Metrics:
        """What the runs of an agent add up to; `ametrics` is the same without blocking the event loop.

        Args:
            agent_id: the agent; else the configuration's, else XPANDER_AGENT_ID.
            since: only runs first seen at this time or later: a datetime or ISO 8601; UTC where it has no offset.
                Default: no limit, as for `until`.
            until: only runs first seen before this time.
            by: "hour" or "day" for a series of them (in UTC), too, of which the newest 1,000 are given.

        Raises:
            ValueError: no agent, or a time that is none; nothing was sent.
            ModuleException: the backend refused, or did not answer.

        Example:
            >>> Backend(Configuration(base_url="sqlite:///runs.db")).metrics("agent-7", since="2026-01-01").runs.total
            0
        """
        operation = self._metrics_operation(agent_id, since, until, by)
        return _lazy.client.send(self.configuration, operation)

    async def ametrics(
        self,
        agent_id: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        by: Literal["hour", "day"] | None = None,
    ) -> Metrics:
        """`metrics`, without blocking the event loop."""
        operation = self._metrics_operation(agent_id, since, until, by)
        return await _lazy.client.asend(self.configuration, operation)

    def organization_metrics(
        self,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        by: Literal["hour", "day"] | None = None,
    ) -> Metrics:
        """What the runs of all agents of the organisation add up to, with the runs of each in `agents`; for the rest as
        `metrics`. `aorganization_metrics` is the same without blocking the event loop."""
        return _lazy.client.send(self.configuration, _organization_metrics(since, until, by))

    async def aorganization_metrics(
        self,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        by: Literal["hour", "day"] | None = None,
    ) -> Metrics:
        """`organization_metrics`, without blocking the event loop."""
        return await _lazy.client.asend(self.configuration, _organization_metrics(since, until, by))

    def _metrics_operation(
        self, agent_id: object, since: Any, until: Any, by: str | None
    ) -> "operations.Operation[Metrics]":
        agent = resolve_agent_id(self.configuration, agent_id=agent_id)
        operation = _lazy.operations.get_agent_metrics(agent, *_time_range(since, until), by)
        return operation.map(metrics.metrics_from_response)


def _organization_metrics(since: Any, until: Any, by: str | None) -> "operations.Operation[Metrics]":
    operation = _lazy.operations.get_organization_metrics(*_time_range(since, until), by)
    return operation.map(metrics.metrics_from_response)


def _time_range(since: Any, until: Any) -> tuple[datetime | None, datetime | None]:
    return parse_datetime("since", since), parse_datetime("until", until)
