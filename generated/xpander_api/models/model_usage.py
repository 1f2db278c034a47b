from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="ModelUsage")


@_attrs_define
class ModelUsage:
    """Usage of one model."""

    name: str
    runs: int
    total_tokens: int
    cost: float | None
    """ The cost in US dollars. Null if no task of the model has a known cost; see `CostSummary`. """
    unpriced_runs: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        runs = self.runs

        total_tokens = self.total_tokens

        cost: float | None
        cost = self.cost

        unpriced_runs = self.unpriced_runs

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "name": name,
                "runs": runs,
                "total_tokens": total_tokens,
                "cost": cost,
                "unpriced_runs": unpriced_runs,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        name = d.pop("name")

        runs = d.pop("runs")

        total_tokens = d.pop("total_tokens")

        def _parse_cost(data: object) -> float | None:
            if data is None:
                return data
            return cast(float | None, data)

        cost = _parse_cost(d.pop("cost"))

        unpriced_runs = d.pop("unpriced_runs")

        model_usage = cls(
            name=name,
            runs=runs,
            total_tokens=total_tokens,
            cost=cost,
            unpriced_runs=unpriced_runs,
        )

        model_usage.additional_properties = d
        return model_usage

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
