from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="ModelUsage")


@_attrs_define
class ModelUsage:
    """Usage of one model. A task counts for each model that it called, with the tokens and the cost of the
    calls of that model.

    """

    name: str
    runs: int
    total_tokens: int
    cost: float | None
    """ The cost in US dollars. Null if no task of the model has a known cost; see `CostSummary`. """
    unpriced_runs: int
    is_overflow: bool | Unset = UNSET
    """ True for the entry that sums up all names beyond the limit. Absent in all other entries. The metrics
    of an organization count at most 1,000 names of tools, of models and of agents separately in each
    period of 32 days, and at most 128 tools of one task. The totals are exact.
     """
    names: int | Unset = UNSET
    """ About how many distinct names the overflow entry sums up, with an error of about 3 %. Absent in all other
    entries. The number is that of the whole organization in the periods of 32 days which the range touches,
    also for the metrics of one agent or of a shorter range. Tools beyond the 128 of one task are not in it.
     """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        runs = self.runs

        total_tokens = self.total_tokens

        cost: float | None
        cost = self.cost

        unpriced_runs = self.unpriced_runs

        is_overflow = self.is_overflow

        names = self.names

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
        if is_overflow is not UNSET:
            field_dict["is_overflow"] = is_overflow
        if names is not UNSET:
            field_dict["names"] = names

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

        is_overflow = d.pop("is_overflow", UNSET)

        names = d.pop("names", UNSET)

        model_usage = cls(
            name=name,
            runs=runs,
            total_tokens=total_tokens,
            cost=cost,
            unpriced_runs=unpriced_runs,
            is_overflow=is_overflow,
            names=names,
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
