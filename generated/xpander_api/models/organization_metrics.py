from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from xpander_api.types import parse_datetime

if TYPE_CHECKING:
    from ..models.agent_runs import AgentRuns
    from ..models.cost_summary import CostSummary
    from ..models.duration_summary import DurationSummary
    from ..models.metrics_point import MetricsPoint
    from ..models.model_usage import ModelUsage
    from ..models.run_counts import RunCounts
    from ..models.token_totals import TokenTotals
    from ..models.tool_use import ToolUse


T = TypeVar("T", bound="OrganizationMetrics")


@_attrs_define
class OrganizationMetrics:
    """Metrics of all agents of an organization."""

    organization_id: str
    since: datetime.datetime | None
    until: datetime.datetime | None
    runs: RunCounts
    """ Number of tasks by outcome. """
    success_rate: float | None
    """ The share of completed tasks among completed and failed tasks. Null if no task has ended. """
    duration: DurationSummary
    """ Durations, in seconds, of the tasks that ended and have a duration. The percentiles are null if
    no task has one. The total is exact to one microsecond for each task. A percentile is the
    smallest duration that at least that share of the tasks does not exceed (nearest rank), with a
    relative error of at most 1 %.
     """
    tokens: TokenTotals
    """ Tokens of all tasks, by kind. The total is the sum of completion and prompt tokens and excludes
    cached tokens.
     """
    cost: CostSummary
    """ Cost in US dollars. The cost of a task is the sum of its `calls`, each at the public price, at
    `created_at`, of its model. The cost of a task without `calls` is computed from its tokens and the
    model named in its `llm_response`. A task with an unknown cost, or a call with an unknown cost, is
    counted as unpriced, not as zero.
     """
    tools: list[ToolUse]
    """ Usage of each tool, the most called tool first. An overflow entry is last. """
    models: list[ModelUsage]
    """ Usage of each model, the most used model first. An overflow entry is last. """
    series: list[MetricsPoint] | None
    """ The same metrics for each hour or day, in order of time; null without `by`. Hours or days
    without tasks are omitted, and only the newest 1,000 are included. The first and the last point
    count only tasks within `since` and `until`.
     """
    agents: list[AgentRuns]
    """ The runs of each agent, the agent with the most runs first. An overflow entry is last. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        organization_id = self.organization_id

        since: None | str
        if isinstance(self.since, datetime.datetime):
            since = self.since.isoformat()

        else:
            since = self.since

        until: None | str
        if isinstance(self.until, datetime.datetime):
            until = self.until.isoformat()

        else:
            until = self.until

        runs = self.runs.to_dict()

        success_rate: float | None
        success_rate = self.success_rate

        duration = self.duration.to_dict()

        tokens = self.tokens.to_dict()

        cost = self.cost.to_dict()

        tools = []
        for tools_item_data in self.tools:
            tools_item = tools_item_data.to_dict()
            tools.append(tools_item)

        models = []
        for models_item_data in self.models:
            models_item = models_item_data.to_dict()
            models.append(models_item)

        series: list[dict[str, Any]] | None
        if isinstance(self.series, list):
            series = []
            for series_type_0_item_data in self.series:
                series_type_0_item = series_type_0_item_data.to_dict()
                series.append(series_type_0_item)

        else:
            series = self.series

        agents = []
        for agents_item_data in self.agents:
            agents_item = agents_item_data.to_dict()
            agents.append(agents_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "organization_id": organization_id,
                "since": since,
                "until": until,
                "runs": runs,
                "success_rate": success_rate,
                "duration": duration,
                "tokens": tokens,
                "cost": cost,
                "tools": tools,
                "models": models,
                "series": series,
                "agents": agents,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.agent_runs import AgentRuns  # noqa: PLC0415
        from ..models.cost_summary import CostSummary  # noqa: PLC0415
        from ..models.duration_summary import DurationSummary  # noqa: PLC0415
        from ..models.metrics_point import MetricsPoint  # noqa: PLC0415
        from ..models.model_usage import ModelUsage  # noqa: PLC0415
        from ..models.run_counts import RunCounts  # noqa: PLC0415
        from ..models.token_totals import TokenTotals  # noqa: PLC0415
        from ..models.tool_use import ToolUse  # noqa: PLC0415

        d = dict(src_dict)
        organization_id = d.pop("organization_id")

        def _parse_since(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                since_type_0 = parse_datetime(data)

                return since_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        since = _parse_since(d.pop("since"))

        def _parse_until(data: object) -> datetime.datetime | None:
            if data is None:
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                until_type_0 = parse_datetime(data)

                return until_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None, data)

        until = _parse_until(d.pop("until"))

        runs = RunCounts.from_dict(d.pop("runs"))

        def _parse_success_rate(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        success_rate = _parse_success_rate(d.pop("success_rate"))

        duration = DurationSummary.from_dict(d.pop("duration"))

        tokens = TokenTotals.from_dict(d.pop("tokens"))

        cost = CostSummary.from_dict(d.pop("cost"))

        tools = []
        _tools = d.pop("tools")
        for tools_item_data in _tools:
            tools_item = ToolUse.from_dict(tools_item_data)

            tools.append(tools_item)

        models = []
        _models = d.pop("models")
        for models_item_data in _models:
            models_item = ModelUsage.from_dict(models_item_data)

            models.append(models_item)

        def _parse_series(data: object) -> list[MetricsPoint] | None:
            if data is None:
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                series_type_0 = []
                _series_type_0 = data
                for series_type_0_item_data in _series_type_0:
                    series_type_0_item = MetricsPoint.from_dict(series_type_0_item_data)

                    series_type_0.append(series_type_0_item)

                return series_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[MetricsPoint] | None, data)

        series = _parse_series(d.pop("series"))

        agents = []
        _agents = d.pop("agents")
        for agents_item_data in _agents:
            agents_item = AgentRuns.from_dict(agents_item_data)

            agents.append(agents_item)

        organization_metrics = cls(
            organization_id=organization_id,
            since=since,
            until=until,
            runs=runs,
            success_rate=success_rate,
            duration=duration,
            tokens=tokens,
            cost=cost,
            tools=tools,
            models=models,
            series=series,
            agents=agents,
        )

        organization_metrics.additional_properties = d
        return organization_metrics

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
