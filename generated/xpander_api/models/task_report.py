from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from xpander_api.types import parse_datetime

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.metadata import Metadata
    from ..models.model_call import ModelCall
    from ..models.tokens import Tokens


T = TypeVar("T", bound="TaskReport")


@_attrs_define
class TaskReport:
    """The facts that a caller has about one run. Null means unknown."""

    id: None | str | Unset = UNSET
    input_: None | str | Unset = UNSET
    """ The input of the agent. """
    llm_response: Any | Unset = UNSET
    """ The raw response of the model provider. Any JSON value; stored unchanged. """
    tokens: None | Tokens | Unset = UNSET
    is_success: bool | None | Unset = UNSET
    """ Whether the run succeeded. Null while the run is executing. """
    result: None | str | Unset = UNSET
    """ The final result of the agent. """
    duration: float | None | Unset = UNSET
    """ Wall-clock duration in seconds. 0 means unknown and keeps the stored value: clients send it
    by default. A negative number, which a clock adjustment can cause, is stored, and metrics
    count it as zero.
     """
    used_tools: list[str] | None | Unset = UNSET
    """ Names of the called tools, one entry for each call. An empty list, which clients send by
    default, keeps the stored value.
     """
    error: None | str | Unset = UNSET
    """ Why the run failed. It does not change the outcome, which only `is_success` states. No official
    client sends it.
     """
    calls: list[ModelCall] | None | Unset = UNSET
    """ The model calls of the run. An update replaces the whole list, and an empty list keeps the stored
    one. No official client sends it.
     """
    user_id: None | str | Unset = UNSET
    conversation_id: None | str | Unset = UNSET
    parent_task_id: None | str | Unset = UNSET
    metadata: Metadata | None | Unset = UNSET
    """ Facts that the caller defines. No official client sends it. """
    triggering_agent_id: None | str | Unset = UNSET
    created_at: datetime.datetime | None | Unset = UNSET
    """ A time from 1971 to 2999, with a precision of one microsecond. """
    finished_at: datetime.datetime | None | Unset = UNSET
    """ A time from 1971 to 2999, with a precision of one microsecond. """

    def to_dict(self) -> dict[str, Any]:
        from ..models.metadata import Metadata  # noqa: PLC0415
        from ..models.tokens import Tokens  # noqa: PLC0415

        id: None | str | Unset
        if isinstance(self.id, Unset):
            id = UNSET
        else:
            id = self.id

        input_: None | str | Unset
        if isinstance(self.input_, Unset):
            input_ = UNSET
        else:
            input_ = self.input_

        llm_response = self.llm_response

        tokens: dict[str, Any] | None | Unset
        if isinstance(self.tokens, Unset):
            tokens = UNSET
        elif isinstance(self.tokens, Tokens):
            tokens = self.tokens.to_dict()
        else:
            tokens = self.tokens

        is_success: bool | None | Unset
        if isinstance(self.is_success, Unset):
            is_success = UNSET
        else:
            is_success = self.is_success

        result: None | str | Unset
        if isinstance(self.result, Unset):
            result = UNSET
        else:
            result = self.result

        duration: float | None | Unset
        if isinstance(self.duration, Unset):
            duration = UNSET
        else:
            duration = self.duration

        used_tools: list[str] | None | Unset
        if isinstance(self.used_tools, Unset):
            used_tools = UNSET
        elif isinstance(self.used_tools, list):
            used_tools = self.used_tools

        else:
            used_tools = self.used_tools

        error: None | str | Unset
        if isinstance(self.error, Unset):
            error = UNSET
        else:
            error = self.error

        calls: list[dict[str, Any]] | None | Unset
        if isinstance(self.calls, Unset):
            calls = UNSET
        elif isinstance(self.calls, list):
            calls = []
            for calls_type_0_item_data in self.calls:
                calls_type_0_item = calls_type_0_item_data.to_dict()
                calls.append(calls_type_0_item)

        else:
            calls = self.calls

        user_id: None | str | Unset
        if isinstance(self.user_id, Unset):
            user_id = UNSET
        else:
            user_id = self.user_id

        conversation_id: None | str | Unset
        if isinstance(self.conversation_id, Unset):
            conversation_id = UNSET
        else:
            conversation_id = self.conversation_id

        parent_task_id: None | str | Unset
        if isinstance(self.parent_task_id, Unset):
            parent_task_id = UNSET
        else:
            parent_task_id = self.parent_task_id

        metadata: dict[str, Any] | None | Unset
        if isinstance(self.metadata, Unset):
            metadata = UNSET
        elif isinstance(self.metadata, Metadata):
            metadata = self.metadata.to_dict()
        else:
            metadata = self.metadata

        triggering_agent_id: None | str | Unset
        if isinstance(self.triggering_agent_id, Unset):
            triggering_agent_id = UNSET
        else:
            triggering_agent_id = self.triggering_agent_id

        created_at: None | str | Unset
        if isinstance(self.created_at, Unset):
            created_at = UNSET
        elif isinstance(self.created_at, datetime.datetime):
            created_at = self.created_at.isoformat()

        else:
            created_at = self.created_at

        finished_at: None | str | Unset
        if isinstance(self.finished_at, Unset):
            finished_at = UNSET
        elif isinstance(self.finished_at, datetime.datetime):
            finished_at = self.finished_at.isoformat()

        else:
            finished_at = self.finished_at

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if id is not UNSET:
            field_dict["id"] = id
        if input_ is not UNSET:
            field_dict["input"] = input_
        if llm_response is not UNSET:
            field_dict["llm_response"] = llm_response
        if tokens is not UNSET:
            field_dict["tokens"] = tokens
        if is_success is not UNSET:
            field_dict["is_success"] = is_success
        if result is not UNSET:
            field_dict["result"] = result
        if duration is not UNSET:
            field_dict["duration"] = duration
        if used_tools is not UNSET:
            field_dict["used_tools"] = used_tools
        if error is not UNSET:
            field_dict["error"] = error
        if calls is not UNSET:
            field_dict["calls"] = calls
        if user_id is not UNSET:
            field_dict["user_id"] = user_id
        if conversation_id is not UNSET:
            field_dict["conversation_id"] = conversation_id
        if parent_task_id is not UNSET:
            field_dict["parent_task_id"] = parent_task_id
        if metadata is not UNSET:
            field_dict["metadata"] = metadata
        if triggering_agent_id is not UNSET:
            field_dict["triggering_agent_id"] = triggering_agent_id
        if created_at is not UNSET:
            field_dict["created_at"] = created_at
        if finished_at is not UNSET:
            field_dict["finished_at"] = finished_at

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.metadata import Metadata  # noqa: PLC0415
        from ..models.model_call import ModelCall  # noqa: PLC0415
        from ..models.tokens import Tokens  # noqa: PLC0415

        d = dict(src_dict)

        def _parse_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        id = _parse_id(d.pop("id", UNSET))

        def _parse_input_(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        input_ = _parse_input_(d.pop("input", UNSET))

        llm_response = d.pop("llm_response", UNSET)

        def _parse_tokens(data: object) -> None | Tokens | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                tokens_type_0 = Tokens.from_dict(data)

                return tokens_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Tokens | Unset, data)

        tokens = _parse_tokens(d.pop("tokens", UNSET))

        def _parse_is_success(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        is_success = _parse_is_success(d.pop("is_success", UNSET))

        def _parse_result(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        result = _parse_result(d.pop("result", UNSET))

        def _parse_duration(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        duration = _parse_duration(d.pop("duration", UNSET))

        def _parse_used_tools(data: object) -> list[str] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                used_tools_type_0 = cast(list[str], data)

                return used_tools_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None | Unset, data)

        used_tools = _parse_used_tools(d.pop("used_tools", UNSET))

        def _parse_error(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        error = _parse_error(d.pop("error", UNSET))

        def _parse_calls(data: object) -> list[ModelCall] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                calls_type_0 = []
                _calls_type_0 = data
                for calls_type_0_item_data in _calls_type_0:
                    calls_type_0_item = ModelCall.from_dict(calls_type_0_item_data)

                    calls_type_0.append(calls_type_0_item)

                return calls_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[ModelCall] | None | Unset, data)

        calls = _parse_calls(d.pop("calls", UNSET))

        def _parse_user_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        user_id = _parse_user_id(d.pop("user_id", UNSET))

        def _parse_conversation_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        conversation_id = _parse_conversation_id(d.pop("conversation_id", UNSET))

        def _parse_parent_task_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        parent_task_id = _parse_parent_task_id(d.pop("parent_task_id", UNSET))

        def _parse_metadata(data: object) -> Metadata | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                metadata_type_0 = Metadata.from_dict(data)

                return metadata_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Metadata | None | Unset, data)

        metadata = _parse_metadata(d.pop("metadata", UNSET))

        def _parse_triggering_agent_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        triggering_agent_id = _parse_triggering_agent_id(d.pop("triggering_agent_id", UNSET))

        def _parse_created_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                componentsschemas_optional_time_type_0 = parse_datetime(data)

                return componentsschemas_optional_time_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        created_at = _parse_created_at(d.pop("created_at", UNSET))

        def _parse_finished_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                componentsschemas_optional_time_type_0 = parse_datetime(data)

                return componentsschemas_optional_time_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        finished_at = _parse_finished_at(d.pop("finished_at", UNSET))

        task_report = cls(
            id=id,
            input_=input_,
            llm_response=llm_response,
            tokens=tokens,
            is_success=is_success,
            result=result,
            duration=duration,
            used_tools=used_tools,
            error=error,
            calls=calls,
            user_id=user_id,
            conversation_id=conversation_id,
            parent_task_id=parent_task_id,
            metadata=metadata,
            triggering_agent_id=triggering_agent_id,
            created_at=created_at,
            finished_at=finished_at,
        )

        return task_report
