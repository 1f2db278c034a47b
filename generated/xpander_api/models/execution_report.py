from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.execution_report_api_calls_made_type_0_item_type_1 import ExecutionReportApiCallsMadeType0ItemType1
    from ..models.execution_tokens import ExecutionTokens


T = TypeVar("T", bound="ExecutionReport")


@_attrs_define
class ExecutionReport:
    """A report in the format of the official SDK's `report_metrics`. Other properties are accepted and ignored."""

    execution_id: str
    """ An id without control characters. `.` and `..` are not allowed because they would change the path. """
    task: None | str | Unset = UNSET
    """ The input of the agent. """
    status: None | str | Unset = UNSET
    duration: float | None | Unset = UNSET
    """ Wall-clock duration in seconds. 0 means unknown. """
    api_calls_made: list[ExecutionReportApiCallsMadeType0ItemType1 | str] | None | Unset = UNSET
    """ Names of the called tools, one entry for each call. An object is a call without a known name. """
    result: None | str | Unset = UNSET
    """ The final result of the agent. """
    llm_tokens: ExecutionTokens | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.execution_report_api_calls_made_type_0_item_type_1 import (
            ExecutionReportApiCallsMadeType0ItemType1,  # noqa: PLC0415
        )
        from ..models.execution_tokens import ExecutionTokens  # noqa: PLC0415

        execution_id = self.execution_id

        task: None | str | Unset
        if isinstance(self.task, Unset):
            task = UNSET
        else:
            task = self.task

        status: None | str | Unset
        if isinstance(self.status, Unset):
            status = UNSET
        else:
            status = self.status

        duration: float | None | Unset
        if isinstance(self.duration, Unset):
            duration = UNSET
        else:
            duration = self.duration

        api_calls_made: list[dict[str, Any] | str] | None | Unset
        if isinstance(self.api_calls_made, Unset):
            api_calls_made = UNSET
        elif isinstance(self.api_calls_made, list):
            api_calls_made = []
            for api_calls_made_type_0_item_data in self.api_calls_made:
                api_calls_made_type_0_item: dict[str, Any] | str
                if isinstance(api_calls_made_type_0_item_data, ExecutionReportApiCallsMadeType0ItemType1):
                    api_calls_made_type_0_item = api_calls_made_type_0_item_data.to_dict()
                else:
                    api_calls_made_type_0_item = api_calls_made_type_0_item_data
                api_calls_made.append(api_calls_made_type_0_item)

        else:
            api_calls_made = self.api_calls_made

        result: None | str | Unset
        if isinstance(self.result, Unset):
            result = UNSET
        else:
            result = self.result

        llm_tokens: dict[str, Any] | None | Unset
        if isinstance(self.llm_tokens, Unset):
            llm_tokens = UNSET
        elif isinstance(self.llm_tokens, ExecutionTokens):
            llm_tokens = self.llm_tokens.to_dict()
        else:
            llm_tokens = self.llm_tokens

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "execution_id": execution_id,
            }
        )
        if task is not UNSET:
            field_dict["task"] = task
        if status is not UNSET:
            field_dict["status"] = status
        if duration is not UNSET:
            field_dict["duration"] = duration
        if api_calls_made is not UNSET:
            field_dict["api_calls_made"] = api_calls_made
        if result is not UNSET:
            field_dict["result"] = result
        if llm_tokens is not UNSET:
            field_dict["llm_tokens"] = llm_tokens

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.execution_report_api_calls_made_type_0_item_type_1 import (
            ExecutionReportApiCallsMadeType0ItemType1,  # noqa: PLC0415
        )
        from ..models.execution_tokens import ExecutionTokens  # noqa: PLC0415

        d = dict(src_dict)
        execution_id = d.pop("execution_id")

        def _parse_task(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        task = _parse_task(d.pop("task", UNSET))

        def _parse_status(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        status = _parse_status(d.pop("status", UNSET))

        def _parse_duration(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        duration = _parse_duration(d.pop("duration", UNSET))

        def _parse_api_calls_made(data: object) -> list[ExecutionReportApiCallsMadeType0ItemType1 | str] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                api_calls_made_type_0 = []
                _api_calls_made_type_0 = data
                for api_calls_made_type_0_item_data in _api_calls_made_type_0:

                    def _parse_api_calls_made_type_0_item(
                        data: object,
                    ) -> ExecutionReportApiCallsMadeType0ItemType1 | str:
                        try:
                            if not isinstance(data, dict):
                                raise TypeError()
                            api_calls_made_type_0_item_type_1 = ExecutionReportApiCallsMadeType0ItemType1.from_dict(
                                data
                            )

                            return api_calls_made_type_0_item_type_1
                        except (TypeError, ValueError, AttributeError, KeyError):
                            pass
                        return cast(ExecutionReportApiCallsMadeType0ItemType1 | str, data)

                    api_calls_made_type_0_item = _parse_api_calls_made_type_0_item(api_calls_made_type_0_item_data)

                    api_calls_made_type_0.append(api_calls_made_type_0_item)

                return api_calls_made_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[ExecutionReportApiCallsMadeType0ItemType1 | str] | None | Unset, data)

        api_calls_made = _parse_api_calls_made(d.pop("api_calls_made", UNSET))

        def _parse_result(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        result = _parse_result(d.pop("result", UNSET))

        def _parse_llm_tokens(data: object) -> ExecutionTokens | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                llm_tokens_type_0 = ExecutionTokens.from_dict(data)

                return llm_tokens_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ExecutionTokens | None | Unset, data)

        llm_tokens = _parse_llm_tokens(d.pop("llm_tokens", UNSET))

        execution_report = cls(
            execution_id=execution_id,
            task=task,
            status=status,
            duration=duration,
            api_calls_made=api_calls_made,
            result=result,
            llm_tokens=llm_tokens,
        )

        execution_report.additional_properties = d
        return execution_report

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
