from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.run_counts import RunCounts


T = TypeVar("T", bound="AgentRuns")


@_attrs_define
class AgentRuns:
    """The runs of one agent."""

    agent_id: str
    runs: RunCounts
    """ Number of tasks by outcome. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        agent_id = self.agent_id

        runs = self.runs.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "agent_id": agent_id,
                "runs": runs,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.run_counts import RunCounts  # noqa: PLC0415

        d = dict(src_dict)
        agent_id = d.pop("agent_id")

        runs = RunCounts.from_dict(d.pop("runs"))

        agent_runs = cls(
            agent_id=agent_id,
            runs=runs,
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
