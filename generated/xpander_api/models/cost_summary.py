from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="CostSummary")


@_attrs_define
class CostSummary:
    """Cost in US dollars. The cost of a task is the sum of its `calls`, each at the public price, at
    `created_at`, of its model. The cost of a task without `calls` is computed from its tokens and the
    model named in its `llm_response`. A task with an unknown cost, or a call with an unknown cost, is
    counted as unpriced, not as zero.

    """

    total: float | None
    """ The cost of all tasks with a known cost. Null if no task has one. """
    unpriced_runs: int
    """ The number of tasks with an unknown cost. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        total: float | None
        total = self.total

        unpriced_runs = self.unpriced_runs

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "total": total,
                "unpriced_runs": unpriced_runs,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_total(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        total = _parse_total(d.pop("total"))

        unpriced_runs = d.pop("unpriced_runs")

        cost_summary = cls(
            total=total,
            unpriced_runs=unpriced_runs,
        )

        cost_summary.additional_properties = d
        return cost_summary

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
