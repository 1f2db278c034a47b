from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.run_counts import RunCounts


T = TypeVar("T", bound="AgentRuns")


@_attrs_define
class AgentRuns:
    """The runs of one agent."""

    agent_id: str
    runs: RunCounts
    """ Number of tasks by outcome. """
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
        agent_id = self.agent_id

        runs = self.runs.to_dict()

        is_overflow = self.is_overflow

        names = self.names

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "agent_id": agent_id,
                "runs": runs,
            }
        )
        if is_overflow is not UNSET:
            field_dict["is_overflow"] = is_overflow
        if names is not UNSET:
            field_dict["names"] = names

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.run_counts import RunCounts  # noqa: PLC0415

        d = dict(src_dict)
        agent_id = d.pop("agent_id")

        runs = RunCounts.from_dict(d.pop("runs"))

        is_overflow = d.pop("is_overflow", UNSET)

        names = d.pop("names", UNSET)

        agent_runs = cls(
            agent_id=agent_id,
            runs=runs,
            is_overflow=is_overflow,
            names=names,
        )

        agent_runs.additional_properties = d
        return agent_runs

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
