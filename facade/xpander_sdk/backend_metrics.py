"""Metrics queries of `Backend`."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from xpander_sdk import _lazy
from xpander_sdk.metrics import Metrics, metrics_from_model
from xpander_sdk.reporting.validation import parse_datetime, resolve_agent_id
from xpander_sdk.settings.configuration import Configuration, resolve_configuration

if TYPE_CHECKING:
    from xpander_sdk.client.operations import Operation


class BackendMetrics:
    """Base class of `Backend` with the queries for metrics.

    Args:
        configuration: Backend and credentials. Default: a new `Configuration()`, from the environment.
    """

    def __init__(self, configuration: Configuration | None = None) -> None:
        self._configuration = resolve_configuration(configuration)

    @property
    def configuration(self) -> Configuration:
        """Backend and credentials of the calls."""
        return resolve_configuration(self._configuration)

    def metrics(
        self,
        agent_id: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        by: Literal["hour", "day"] | None = None,
    ) -> Metrics:
        """Return the metrics of an agent.

        Blocks until the backend has responded. `ametrics` is the asynchronous form.

        Args:
            agent_id: The agent. Default: the configuration's, else XPANDER_AGENT_ID.
            since: Count runs whose task was created at this time or later: a datetime or ISO 8601, UTC without an
                offset. Default: no limit.
            until: Count runs whose task was created before this time. Default: no limit.
            by: "hour" or "day" (in UTC) to also return a series, of at most the latest 1,000 hours or days. Default:
                None, for no series.

        Returns:
            Totals over the runs of the agent, and the series.

        Raises:
            ValueError: No agent is specified, or a time or `by` is invalid. No request was sent.
            ModuleException: The backend returned an error, or did not respond.

        Example:
            >>> from xpander_sdk import Backend
            >>> Backend(Configuration(base_url="sqlite:///runs.db")).metrics("agent-7", since="2026-01-01").runs.total
            0
        """
        operation = self._agent_metrics(agent_id, since, until, by)
        return _lazy.client.send(self.configuration, operation)

    async def ametrics(
        self,
        agent_id: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        by: Literal["hour", "day"] | None = None,
    ) -> Metrics:
        """Return the metrics of an agent.

        Runs on asyncio and on trio. `metrics` is the synchronous form.

        Args:
            agent_id: The agent. Default: the configuration's, else XPANDER_AGENT_ID.
            since: Count runs whose task was created at this time or later: a datetime or ISO 8601, UTC without an
                offset. Default: no limit.
            until: Count runs whose task was created before this time. Default: no limit.
            by: "hour" or "day" (in UTC) to also return a series, of at most the latest 1,000 hours or days. Default:
                None, for no series.

        Returns:
            Totals over the runs of the agent, and the series.

        Raises:
            ValueError: No agent is specified, or a time or `by` is invalid. No request was sent.
            ModuleException: The backend returned an error, or did not respond.

        Example:
            >>> import asyncio
            >>> from xpander_sdk import Backend
            >>> backend = Backend(Configuration(base_url="sqlite:///runs.db"))
            >>> asyncio.run(backend.ametrics("agent-7", since="2026-01-01")).runs.total
            0
        """
        operation = self._agent_metrics(agent_id, since, until, by)
        return await _lazy.client.asend(self.configuration, operation)

    def organization_metrics(
        self,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        by: Literal["hour", "day"] | None = None,
    ) -> Metrics:
        """Return the metrics of all agents of the organization.

        Blocks until the backend has responded. `aorganization_metrics` is the asynchronous form.

        Args:
            since: Count runs whose task was created at this time or later: a datetime or ISO 8601, UTC without an
                offset. Default: no limit.
            until: Count runs whose task was created before this time. Default: no limit.
            by: "hour" or "day" (in UTC) to also return a series, of at most the latest 1,000 hours or days. Default:
                None, for no series.

        Returns:
            Totals over the runs of all agents, the runs of each agent in `agents`, and the series.

        Raises:
            ValueError: A time or `by` is invalid. No request was sent.
            ModuleException: The backend returned an error, or did not respond.
        """
        operation = _organization_metrics(since, until, by)
        return _lazy.client.send(self.configuration, operation)

    async def aorganization_metrics(
        self,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        by: Literal["hour", "day"] | None = None,
    ) -> Metrics:
        """Return the metrics of all agents of the organization.

        Runs on asyncio and on trio. `organization_metrics` is the synchronous form.

        Args:
            since: Count runs whose task was created at this time or later: a datetime or ISO 8601, UTC without an
                offset. Default: no limit.
            until: Count runs whose task was created before this time. Default: no limit.
            by: "hour" or "day" (in UTC) to also return a series, of at most the latest 1,000 hours or days. Default:
                None, for no series.

        Returns:
            Totals over the runs of all agents, the runs of each agent in `agents`, and the series.

        Raises:
            ValueError: A time or `by` is invalid. No request was sent.
            ModuleException: The backend returned an error, or did not respond.
        """
        operation = _organization_metrics(since, until, by)
        return await _lazy.client.asend(self.configuration, operation)

    def _agent_metrics(self, agent_id: object, since: Any, until: Any, by: str | None) -> "Operation[Metrics]":
        agent_id = resolve_agent_id(self.configuration, agent_id=agent_id)
        return _lazy.read_operations.get_agent_metrics(agent_id, *_time_range(since, until), by).map(metrics_from_model)


def _organization_metrics(since: Any, until: Any, by: str | None) -> "Operation[Metrics]":
    return _lazy.read_operations.get_organization_metrics(*_time_range(since, until), by).map(metrics_from_model)


def _time_range(since: Any, until: Any) -> tuple[datetime | None, datetime | None]:
    return parse_datetime("since", since), parse_datetime("until", until)
