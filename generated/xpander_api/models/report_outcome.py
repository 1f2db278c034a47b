from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.error import Error
    from ..models.task_list_item import TaskListItem
    from ..models.validation_error import ValidationError


T = TypeVar("T", bound="ReportOutcome")


@_attrs_define
class ReportOutcome:
    """The outcome of one report of a batch."""

    status: int
    """ The status code that the response to the report alone would have: 200 or 201 if it is stored, 400 if it
    exceeds a limit of this description, 409 if its id belongs to another agent or to an erased
    task, 422 if it is invalid, 503 if it may be sent again.
     """
    task: TaskListItem | Unset = UNSET
    """ A task in the history, without its documents. """
    error: Error | Unset | ValidationError = UNSET
    """ The reason why the report is not stored. Present in all other cases. """
    retry_after: int | Unset = UNSET
    """ The number of seconds to wait before the report is sent again, with the status 503. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.error import Error  # noqa: PLC0415

        status = self.status

        task: dict[str, Any] | Unset = UNSET
        if not isinstance(self.task, Unset):
            task = self.task.to_dict()

        error: dict[str, Any] | Unset
        if isinstance(self.error, Unset):
            error = UNSET
        elif isinstance(self.error, Error):
            error = self.error.to_dict()
        else:
            error = self.error.to_dict()

        retry_after = self.retry_after

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "status": status,
            }
        )
        if task is not UNSET:
            field_dict["task"] = task
        if error is not UNSET:
            field_dict["error"] = error
        if retry_after is not UNSET:
            field_dict["retry_after"] = retry_after

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.error import Error  # noqa: PLC0415
        from ..models.task_list_item import TaskListItem  # noqa: PLC0415
        from ..models.validation_error import ValidationError  # noqa: PLC0415

        d = dict(src_dict)
        status = d.pop("status")

        _task = d.pop("task", UNSET)
        task: TaskListItem | Unset
        if isinstance(_task, Unset):
            task = UNSET
        else:
            task = TaskListItem.from_dict(_task)

        def _parse_error(data: object) -> Error | Unset | ValidationError:
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                error_type_0 = Error.from_dict(data)

                return error_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            if not isinstance(data, dict):
                raise TypeError()
            error_type_1 = ValidationError.from_dict(data)

            return error_type_1

        error = _parse_error(d.pop("error", UNSET))

        retry_after = d.pop("retry_after", UNSET)

        report_outcome = cls(
            status=status,
            task=task,
            error=error,
            retry_after=retry_after,
        )

        report_outcome.additional_properties = d
        return report_outcome

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
