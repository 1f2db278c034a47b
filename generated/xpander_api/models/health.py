from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="Health")


@_attrs_define
class Health:
    """The state of a backend that can accept reports."""

    status: Literal["ok"]
    version: str
    report_batch: int | Unset = UNSET
    """ The largest number of reports in a request of `reportTasks`. Absent if the backend has no such operation.
    """
    stale_after: float | Unset = UNSET
    """ The number of seconds without a change after which an executing task is stale. """
    report_fields: list[str] | Unset = UNSET
    """ The properties of `TaskReport` that this backend supports beyond the eight that every backend
    does. A client leaves out all others.
     """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        status = self.status

        version = self.version

        report_batch = self.report_batch

        stale_after = self.stale_after

        report_fields: list[str] | Unset = UNSET
        if not isinstance(self.report_fields, Unset):
            report_fields = self.report_fields

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "status": status,
                "version": version,
            }
        )
        if report_batch is not UNSET:
            field_dict["report_batch"] = report_batch
        if stale_after is not UNSET:
            field_dict["stale_after"] = stale_after
        if report_fields is not UNSET:
            field_dict["report_fields"] = report_fields

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        status = cast(Literal["ok"], d.pop("status"))
        if status != "ok":
            raise ValueError(f"status must match const 'ok', got '{status}'")

        version = d.pop("version")

        report_batch = d.pop("report_batch", UNSET)

        stale_after = d.pop("stale_after", UNSET)

        report_fields = cast(list[str], d.pop("report_fields", UNSET))

        health = cls(
            status=status,
            version=version,
            report_batch=report_batch,
            stale_after=stale_after,
            report_fields=report_fields,
        )

        health.additional_properties = d
        return health

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
