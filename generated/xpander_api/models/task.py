from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from xpander_api.types import parse_datetime

from ..models.task_status import TaskStatus
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.metadata import Metadata
    from ..models.model_call import ModelCall
    from ..models.task_input import TaskInput
    from ..models.tokens import Tokens


T = TypeVar("T", bound="Task")


@_attrs_define
class Task:
    """The record of one run in a backend."""

    id: str
    agent_id: str
    organization_id: str
    input_: TaskInput
    """ The input of the agent. """
    status: TaskStatus
    """ The state of a run. """
    created_at: datetime.datetime
    """ The time at which the task was created. An update keeps it, unless the update contains `created_at`. """
    started_at: datetime.datetime | None | Unset = UNSET
    """ The time at which the run ended, minus its duration. """
    paused_at: datetime.datetime | None | Unset = UNSET
    finished_at: datetime.datetime | None | Unset = UNSET
    """ The `finished_at` of a report, or else the time of arrival of the first report with an outcome. """
    updated_at: datetime.datetime | None | Unset = UNSET
    """ The time at which a report last changed the task. """
    internal_status: None | str | Unset = UNSET
    agent_version: None | str | Unset = UNSET
    is_stale: bool | Unset = UNSET
    """ True for an executing task that no report has changed for the time `stale_after` of `/health`. """
    result: None | str | Unset = UNSET
    error: None | str | Unset = UNSET
    """ Why the run failed. """
    llm_response: Any | Unset = UNSET
    """ The reported value, with every value and key unchanged. """
    tokens: None | Tokens | Unset = UNSET
    """ The reported tokens, or else the sum of the calls. """
    model: None | str | Unset = UNSET
    """ The model of the run. Null if the backend does not know it. """
    cost: float | None | Unset = UNSET
    """ The cost of the run in US dollars. Null if the backend does not know it. """
    calls: list[ModelCall] | None | Unset = UNSET
    """ The reported model calls, one entry for each `response_id`. """
    metadata: Metadata | None | Unset = UNSET
    used_tools: list[str] | None | Unset = UNSET
    duration: float | None | Unset = UNSET
    """ Wall-clock duration in seconds. """
    source: None | str | Unset = UNSET
    """ The origin of the task. `external` for a reported run. """
    title: None | str | Unset = UNSET
    user_id: None | str | Unset = UNSET
    parent_task_id: None | str | Unset = UNSET
    triggering_agent_id: None | str | Unset = UNSET
    parent_execution: None | str | Unset = UNSET
    conversation_id: None | str | Unset = UNSET
    execution_kind: None | str | Unset = UNSET
    output_format: None | str | Unset = UNSET
    output_schema: Any | Unset = UNSET
    payload_extension: Any | Unset = UNSET
    sub_executions: list[str] | None | Unset = UNSET
    is_manually_stopped: bool | None | Unset = UNSET
    execution_attempts: int | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.metadata import Metadata  # noqa: PLC0415
        from ..models.tokens import Tokens  # noqa: PLC0415

        id = self.id

        agent_id = self.agent_id

        organization_id = self.organization_id

        input_ = self.input_.to_dict()

        status = self.status.value

        created_at = self.created_at.isoformat()

        started_at: None | str | Unset
        if isinstance(self.started_at, Unset):
            started_at = UNSET
        elif isinstance(self.started_at, datetime.datetime):
            started_at = self.started_at.isoformat()

        else:
            started_at = self.started_at

        paused_at: None | str | Unset
        if isinstance(self.paused_at, Unset):
            paused_at = UNSET
        elif isinstance(self.paused_at, datetime.datetime):
            paused_at = self.paused_at.isoformat()

        else:
            paused_at = self.paused_at

        finished_at: None | str | Unset
        if isinstance(self.finished_at, Unset):
            finished_at = UNSET
        elif isinstance(self.finished_at, datetime.datetime):
            finished_at = self.finished_at.isoformat()

        else:
            finished_at = self.finished_at

        updated_at: None | str | Unset
        if isinstance(self.updated_at, Unset):
            updated_at = UNSET
        elif isinstance(self.updated_at, datetime.datetime):
            updated_at = self.updated_at.isoformat()

        else:
            updated_at = self.updated_at

        internal_status: None | str | Unset
        if isinstance(self.internal_status, Unset):
            internal_status = UNSET
        else:
            internal_status = self.internal_status

        agent_version: None | str | Unset
        if isinstance(self.agent_version, Unset):
            agent_version = UNSET
        else:
            agent_version = self.agent_version

        is_stale = self.is_stale

        result: None | str | Unset
        if isinstance(self.result, Unset):
            result = UNSET
        else:
            result = self.result

        error: None | str | Unset
        if isinstance(self.error, Unset):
            error = UNSET
        else:
            error = self.error

        llm_response = self.llm_response

        tokens: dict[str, Any] | None | Unset
        if isinstance(self.tokens, Unset):
            tokens = UNSET
        elif isinstance(self.tokens, Tokens):
            tokens = self.tokens.to_dict()
        else:
            tokens = self.tokens

        model: None | str | Unset
        if isinstance(self.model, Unset):
            model = UNSET
        else:
            model = self.model

        cost: float | None | Unset
        if isinstance(self.cost, Unset):
            cost = UNSET
        else:
            cost = self.cost

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

        metadata: dict[str, Any] | None | Unset
        if isinstance(self.metadata, Unset):
            metadata = UNSET
        elif isinstance(self.metadata, Metadata):
            metadata = self.metadata.to_dict()
        else:
            metadata = self.metadata

        used_tools: list[str] | None | Unset
        if isinstance(self.used_tools, Unset):
            used_tools = UNSET
        elif isinstance(self.used_tools, list):
            used_tools = self.used_tools

        else:
            used_tools = self.used_tools

        duration: float | None | Unset
        if isinstance(self.duration, Unset):
            duration = UNSET
        else:
            duration = self.duration

        source: None | str | Unset
        if isinstance(self.source, Unset):
            source = UNSET
        else:
            source = self.source

        title: None | str | Unset
        if isinstance(self.title, Unset):
            title = UNSET
        else:
            title = self.title

        user_id: None | str | Unset
        if isinstance(self.user_id, Unset):
            user_id = UNSET
        else:
            user_id = self.user_id

        parent_task_id: None | str | Unset
        if isinstance(self.parent_task_id, Unset):
            parent_task_id = UNSET
        else:
            parent_task_id = self.parent_task_id

        triggering_agent_id: None | str | Unset
        if isinstance(self.triggering_agent_id, Unset):
            triggering_agent_id = UNSET
        else:
            triggering_agent_id = self.triggering_agent_id

        parent_execution: None | str | Unset
        if isinstance(self.parent_execution, Unset):
            parent_execution = UNSET
        else:
            parent_execution = self.parent_execution

        conversation_id: None | str | Unset
        if isinstance(self.conversation_id, Unset):
            conversation_id = UNSET
        else:
            conversation_id = self.conversation_id

        execution_kind: None | str | Unset
        if isinstance(self.execution_kind, Unset):
            execution_kind = UNSET
        else:
            execution_kind = self.execution_kind

        output_format: None | str | Unset
        if isinstance(self.output_format, Unset):
            output_format = UNSET
        else:
            output_format = self.output_format

        output_schema = self.output_schema

        payload_extension = self.payload_extension

        sub_executions: list[str] | None | Unset
        if isinstance(self.sub_executions, Unset):
            sub_executions = UNSET
        elif isinstance(self.sub_executions, list):
            sub_executions = self.sub_executions

        else:
            sub_executions = self.sub_executions

        is_manually_stopped: bool | None | Unset
        if isinstance(self.is_manually_stopped, Unset):
            is_manually_stopped = UNSET
        else:
            is_manually_stopped = self.is_manually_stopped

        execution_attempts: int | None | Unset
        if isinstance(self.execution_attempts, Unset):
            execution_attempts = UNSET
        else:
            execution_attempts = self.execution_attempts

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "agent_id": agent_id,
                "organization_id": organization_id,
                "input": input_,
                "status": status,
                "created_at": created_at,
            }
        )
        if started_at is not UNSET:
            field_dict["started_at"] = started_at
        if paused_at is not UNSET:
            field_dict["paused_at"] = paused_at
        if finished_at is not UNSET:
            field_dict["finished_at"] = finished_at
        if updated_at is not UNSET:
            field_dict["updated_at"] = updated_at
        if internal_status is not UNSET:
            field_dict["internal_status"] = internal_status
        if agent_version is not UNSET:
            field_dict["agent_version"] = agent_version
        if is_stale is not UNSET:
            field_dict["is_stale"] = is_stale
        if result is not UNSET:
            field_dict["result"] = result
        if error is not UNSET:
            field_dict["error"] = error
        if llm_response is not UNSET:
            field_dict["llm_response"] = llm_response
        if tokens is not UNSET:
            field_dict["tokens"] = tokens
        if model is not UNSET:
            field_dict["model"] = model
        if cost is not UNSET:
            field_dict["cost"] = cost
        if calls is not UNSET:
            field_dict["calls"] = calls
        if metadata is not UNSET:
            field_dict["metadata"] = metadata
        if used_tools is not UNSET:
            field_dict["used_tools"] = used_tools
        if duration is not UNSET:
            field_dict["duration"] = duration
        if source is not UNSET:
            field_dict["source"] = source
        if title is not UNSET:
            field_dict["title"] = title
        if user_id is not UNSET:
            field_dict["user_id"] = user_id
        if parent_task_id is not UNSET:
            field_dict["parent_task_id"] = parent_task_id
        if triggering_agent_id is not UNSET:
            field_dict["triggering_agent_id"] = triggering_agent_id
        if parent_execution is not UNSET:
            field_dict["parent_execution"] = parent_execution
        if conversation_id is not UNSET:
            field_dict["conversation_id"] = conversation_id
        if execution_kind is not UNSET:
            field_dict["execution_kind"] = execution_kind
        if output_format is not UNSET:
            field_dict["output_format"] = output_format
        if output_schema is not UNSET:
            field_dict["output_schema"] = output_schema
        if payload_extension is not UNSET:
            field_dict["payload_extension"] = payload_extension
        if sub_executions is not UNSET:
            field_dict["sub_executions"] = sub_executions
        if is_manually_stopped is not UNSET:
            field_dict["is_manually_stopped"] = is_manually_stopped
        if execution_attempts is not UNSET:
            field_dict["execution_attempts"] = execution_attempts

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.metadata import Metadata  # noqa: PLC0415
        from ..models.model_call import ModelCall  # noqa: PLC0415
        from ..models.task_input import TaskInput  # noqa: PLC0415
        from ..models.tokens import Tokens  # noqa: PLC0415

        d = dict(src_dict)
        id = d.pop("id")

        agent_id = d.pop("agent_id")

        organization_id = d.pop("organization_id")

        input_ = TaskInput.from_dict(d.pop("input"))

        status = TaskStatus(d.pop("status"))

        created_at = parse_datetime(d.pop("created_at"))

        def _parse_started_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                started_at_type_0 = parse_datetime(data)

                return started_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        started_at = _parse_started_at(d.pop("started_at", UNSET))

        def _parse_paused_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                paused_at_type_0 = parse_datetime(data)

                return paused_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        paused_at = _parse_paused_at(d.pop("paused_at", UNSET))

        def _parse_finished_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                finished_at_type_0 = parse_datetime(data)

                return finished_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        finished_at = _parse_finished_at(d.pop("finished_at", UNSET))

        def _parse_updated_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                updated_at_type_0 = parse_datetime(data)

                return updated_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        updated_at = _parse_updated_at(d.pop("updated_at", UNSET))

        def _parse_internal_status(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        internal_status = _parse_internal_status(d.pop("internal_status", UNSET))

        def _parse_agent_version(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        agent_version = _parse_agent_version(d.pop("agent_version", UNSET))

        is_stale = d.pop("is_stale", UNSET)

        def _parse_result(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        result = _parse_result(d.pop("result", UNSET))

        def _parse_error(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        error = _parse_error(d.pop("error", UNSET))

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

        def _parse_model(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        model = _parse_model(d.pop("model", UNSET))

        def _parse_cost(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        cost = _parse_cost(d.pop("cost", UNSET))

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

        def _parse_duration(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        duration = _parse_duration(d.pop("duration", UNSET))

        def _parse_source(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        source = _parse_source(d.pop("source", UNSET))

        def _parse_title(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        title = _parse_title(d.pop("title", UNSET))

        def _parse_user_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        user_id = _parse_user_id(d.pop("user_id", UNSET))

        def _parse_parent_task_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        parent_task_id = _parse_parent_task_id(d.pop("parent_task_id", UNSET))

        def _parse_triggering_agent_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        triggering_agent_id = _parse_triggering_agent_id(d.pop("triggering_agent_id", UNSET))

        def _parse_parent_execution(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        parent_execution = _parse_parent_execution(d.pop("parent_execution", UNSET))

        def _parse_conversation_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        conversation_id = _parse_conversation_id(d.pop("conversation_id", UNSET))

        def _parse_execution_kind(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        execution_kind = _parse_execution_kind(d.pop("execution_kind", UNSET))

        def _parse_output_format(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        output_format = _parse_output_format(d.pop("output_format", UNSET))

        output_schema = d.pop("output_schema", UNSET)

        payload_extension = d.pop("payload_extension", UNSET)

        def _parse_sub_executions(data: object) -> list[str] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                sub_executions_type_0 = cast(list[str], data)

                return sub_executions_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None | Unset, data)

        sub_executions = _parse_sub_executions(d.pop("sub_executions", UNSET))

        def _parse_is_manually_stopped(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        is_manually_stopped = _parse_is_manually_stopped(d.pop("is_manually_stopped", UNSET))

        def _parse_execution_attempts(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        execution_attempts = _parse_execution_attempts(d.pop("execution_attempts", UNSET))

        task = cls(
            id=id,
            agent_id=agent_id,
            organization_id=organization_id,
            input_=input_,
            status=status,
            created_at=created_at,
            started_at=started_at,
            paused_at=paused_at,
            finished_at=finished_at,
            updated_at=updated_at,
            internal_status=internal_status,
            agent_version=agent_version,
            is_stale=is_stale,
            result=result,
            error=error,
            llm_response=llm_response,
            tokens=tokens,
            model=model,
            cost=cost,
            calls=calls,
            metadata=metadata,
            used_tools=used_tools,
            duration=duration,
            source=source,
            title=title,
            user_id=user_id,
            parent_task_id=parent_task_id,
            triggering_agent_id=triggering_agent_id,
            parent_execution=parent_execution,
            conversation_id=conversation_id,
            execution_kind=execution_kind,
            output_format=output_format,
            output_schema=output_schema,
            payload_extension=payload_extension,
            sub_executions=sub_executions,
            is_manually_stopped=is_manually_stopped,
            execution_attempts=execution_attempts,
        )

        task.additional_properties = d
        return task

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
