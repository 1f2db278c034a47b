from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from xpander_api.types import parse_datetime

if TYPE_CHECKING:
    from ..models.cost_summary import CostSummary
    from ..models.duration_summary import DurationSummary
    from ..models.run_counts import RunCounts
    from ..models.token_totals import TokenTotals


T = TypeVar("T", bound="MetricsPoint")


@_attrs_define
class MetricsPoint:
    """Metrics of one hour or one day."""

    start: datetime.datetime
    """ The start of the hour or day. """
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
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        start = self.start.isoformat()

        runs = self.runs.to_dict()

        success_rate: float | None
        success_rate = self.success_rate

        duration = self.duration.to_dict()

        tokens = self.tokens.to_dict()

        cost = self.cost.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "start": start,
                "runs": runs,
                "success_rate": success_rate,
                "duration": duration,
                "tokens": tokens,
                "cost": cost,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.cost_summary import CostSummary  # noqa: PLC0415
        from ..models.duration_summary import DurationSummary  # noqa: PLC0415
        from ..models.run_counts import RunCounts  # noqa: PLC0415
        from ..models.token_totals import TokenTotals  # noqa: PLC0415

        d = dict(src_dict)
        start = parse_datetime(d.pop("start"))

        runs = RunCounts.from_dict(d.pop("runs"))

        def _parse_success_rate(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        success_rate = _parse_success_rate(d.pop("success_rate"))

        duration = DurationSummary.from_dict(d.pop("duration"))

        tokens = TokenTotals.from_dict(d.pop("tokens"))

        cost = CostSummary.from_dict(d.pop("cost"))

        metrics_point = cls(
            start=start,
            runs=runs,
            success_rate=success_rate,
            duration=duration,
            tokens=tokens,
            cost=cost,
        )

        metrics_point.additional_properties = d
        return metrics_point

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
