from __future__ import annotations

import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ... import errors
from ...models.error import Error
from ...models.list_tasks_order import ListTasksOrder
from ...models.task_list_item import TaskListItem
from ...models.validation_error import ValidationError
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.list_tasks_sort import ListTasksSort
    from ...models.task_status import TaskStatus


def _get_kwargs(
    *,
    agent_id: str | Unset = UNSET,
    user_id: str | Unset = UNSET,
    parent_task_id: str | Unset = UNSET,
    conversation_id: str | Unset = UNSET,
    metadata: list[str] | Unset = UNSET,
    triggering_agent_id: str | Unset = UNSET,
    status: TaskStatus | Unset = UNSET,
    is_stale: bool | Unset = UNSET,
    internal_status: str | Unset = UNSET,
    tool: str | Unset = UNSET,
    model: str | Unset = UNSET,
    q: str | Unset = UNSET,
    since: datetime.datetime | Unset = UNSET,
    until: datetime.datetime | Unset = UNSET,
    sort: ListTasksSort | Unset = UNSET,
    order: ListTasksOrder | Unset = ListTasksOrder.DESC,
    limit: int | Unset = 1000,
    cursor: str | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["agent_id"] = agent_id

    params["user_id"] = user_id

    params["parent_task_id"] = parent_task_id

    params["conversation_id"] = conversation_id

    json_metadata: list[str] | Unset = UNSET
    if not isinstance(metadata, Unset):
        json_metadata = metadata

    params["metadata"] = json_metadata

    params["triggering_agent_id"] = triggering_agent_id

    json_status: str | Unset = UNSET
    if not isinstance(status, Unset):
        json_status = status.value

    params["status"] = json_status

    params["is_stale"] = is_stale

    params["internal_status"] = internal_status

    params["tool"] = tool

    params["model"] = model

    params["q"] = q

    json_since: str | Unset = UNSET
    if not isinstance(since, Unset):
        json_since = since.isoformat()

    params["since"] = json_since

    json_until: str | Unset = UNSET
    if not isinstance(until, Unset):
        json_until = until.isoformat()

    params["until"] = json_until

    json_sort: str | Unset = UNSET
    if not isinstance(sort, Unset):
        json_sort = sort.value

    params["sort"] = json_sort

    json_order: str | Unset = UNSET
    if not isinstance(order, Unset):
        json_order = order.value

    params["order"] = json_order

    params["limit"] = limit

    params["cursor"] = cursor

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/agent-execution/executions/history",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Error | ValidationError | list[TaskListItem] | None:
    if response.status_code == 200:
        response_200 = []
        _response_200 = response.json()
        for response_200_item_data in _response_200:
            response_200_item = TaskListItem.from_dict(response_200_item_data)

            response_200.append(response_200_item)

        return response_200

    if response.status_code == 401:
        response_401 = Error.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = Error.from_dict(response.json())

        return response_403

    if response.status_code == 422:
        response_422 = ValidationError.from_dict(response.json())

        return response_422

    if response.status_code == 429:
        response_429 = Error.from_dict(response.json())

        return response_429

    if response.status_code == 500:
        response_500 = Error.from_dict(response.json())

        return response_500

    if response.status_code == 503:
        response_503 = Error.from_dict(response.json())

        return response_503

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Error | ValidationError | list[TaskListItem]]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    agent_id: str | Unset = UNSET,
    user_id: str | Unset = UNSET,
    parent_task_id: str | Unset = UNSET,
    conversation_id: str | Unset = UNSET,
    metadata: list[str] | Unset = UNSET,
    triggering_agent_id: str | Unset = UNSET,
    status: TaskStatus | Unset = UNSET,
    is_stale: bool | Unset = UNSET,
    internal_status: str | Unset = UNSET,
    tool: str | Unset = UNSET,
    model: str | Unset = UNSET,
    q: str | Unset = UNSET,
    since: datetime.datetime | Unset = UNSET,
    until: datetime.datetime | Unset = UNSET,
    sort: ListTasksSort | Unset = UNSET,
    order: ListTasksOrder | Unset = ListTasksOrder.DESC,
    limit: int | Unset = 1000,
    cursor: str | Unset = UNSET,
) -> Response[Error | ValidationError | list[TaskListItem]]:
    """List the tasks of the organization, newest first or sorted by a figure.

    Args:
        agent_id (str | Unset): An id without control characters. `.` and `..` are not allowed
            because they would change the path.
        user_id (str | Unset): An id without control characters. `.` and `..` are not allowed
            because they would change the path.
        parent_task_id (str | Unset): An id without control characters. `.` and `..` are not
            allowed because they would change the path.
        conversation_id (str | Unset): An id without control characters. `.` and `..` are not
            allowed because they would change the path.
        metadata (list[str] | Unset):
        triggering_agent_id (str | Unset): An id without control characters. `.` and `..` are not
            allowed because they would change the path.
        status (TaskStatus | Unset): The state of a run.
        is_stale (bool | Unset):
        internal_status (str | Unset):
        tool (str | Unset):
        model (str | Unset):
        q (str | Unset):
        since (datetime.datetime | Unset):
        until (datetime.datetime | Unset):
        sort (ListTasksSort | Unset):
        order (ListTasksOrder | Unset):  Default: ListTasksOrder.DESC.
        limit (int | Unset):  Default: 1000.
        cursor (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Error | ValidationError | list[TaskListItem]]
    """

    kwargs = _get_kwargs(
        agent_id=agent_id,
        user_id=user_id,
        parent_task_id=parent_task_id,
        conversation_id=conversation_id,
        metadata=metadata,
        triggering_agent_id=triggering_agent_id,
        status=status,
        is_stale=is_stale,
        internal_status=internal_status,
        tool=tool,
        model=model,
        q=q,
        since=since,
        until=until,
        sort=sort,
        order=order,
        limit=limit,
        cursor=cursor,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    agent_id: str | Unset = UNSET,
    user_id: str | Unset = UNSET,
    parent_task_id: str | Unset = UNSET,
    conversation_id: str | Unset = UNSET,
    metadata: list[str] | Unset = UNSET,
    triggering_agent_id: str | Unset = UNSET,
    status: TaskStatus | Unset = UNSET,
    is_stale: bool | Unset = UNSET,
    internal_status: str | Unset = UNSET,
    tool: str | Unset = UNSET,
    model: str | Unset = UNSET,
    q: str | Unset = UNSET,
    since: datetime.datetime | Unset = UNSET,
    until: datetime.datetime | Unset = UNSET,
    sort: ListTasksSort | Unset = UNSET,
    order: ListTasksOrder | Unset = ListTasksOrder.DESC,
    limit: int | Unset = 1000,
    cursor: str | Unset = UNSET,
) -> Error | ValidationError | list[TaskListItem] | None:
    """List the tasks of the organization, newest first or sorted by a figure.

    Args:
        agent_id (str | Unset): An id without control characters. `.` and `..` are not allowed
            because they would change the path.
        user_id (str | Unset): An id without control characters. `.` and `..` are not allowed
            because they would change the path.
        parent_task_id (str | Unset): An id without control characters. `.` and `..` are not
            allowed because they would change the path.
        conversation_id (str | Unset): An id without control characters. `.` and `..` are not
            allowed because they would change the path.
        metadata (list[str] | Unset):
        triggering_agent_id (str | Unset): An id without control characters. `.` and `..` are not
            allowed because they would change the path.
        status (TaskStatus | Unset): The state of a run.
        is_stale (bool | Unset):
        internal_status (str | Unset):
        tool (str | Unset):
        model (str | Unset):
        q (str | Unset):
        since (datetime.datetime | Unset):
        until (datetime.datetime | Unset):
        sort (ListTasksSort | Unset):
        order (ListTasksOrder | Unset):  Default: ListTasksOrder.DESC.
        limit (int | Unset):  Default: 1000.
        cursor (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Error | ValidationError | list[TaskListItem]
    """

    return sync_detailed(
        client=client,
        agent_id=agent_id,
        user_id=user_id,
        parent_task_id=parent_task_id,
        conversation_id=conversation_id,
        metadata=metadata,
        triggering_agent_id=triggering_agent_id,
        status=status,
        is_stale=is_stale,
        internal_status=internal_status,
        tool=tool,
        model=model,
        q=q,
        since=since,
        until=until,
        sort=sort,
        order=order,
        limit=limit,
        cursor=cursor,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    agent_id: str | Unset = UNSET,
    user_id: str | Unset = UNSET,
    parent_task_id: str | Unset = UNSET,
    conversation_id: str | Unset = UNSET,
    metadata: list[str] | Unset = UNSET,
    triggering_agent_id: str | Unset = UNSET,
    status: TaskStatus | Unset = UNSET,
    is_stale: bool | Unset = UNSET,
    internal_status: str | Unset = UNSET,
    tool: str | Unset = UNSET,
    model: str | Unset = UNSET,
    q: str | Unset = UNSET,
    since: datetime.datetime | Unset = UNSET,
    until: datetime.datetime | Unset = UNSET,
    sort: ListTasksSort | Unset = UNSET,
    order: ListTasksOrder | Unset = ListTasksOrder.DESC,
    limit: int | Unset = 1000,
    cursor: str | Unset = UNSET,
) -> Response[Error | ValidationError | list[TaskListItem]]:
    """List the tasks of the organization, newest first or sorted by a figure.

    Args:
        agent_id (str | Unset): An id without control characters. `.` and `..` are not allowed
            because they would change the path.
        user_id (str | Unset): An id without control characters. `.` and `..` are not allowed
            because they would change the path.
        parent_task_id (str | Unset): An id without control characters. `.` and `..` are not
            allowed because they would change the path.
        conversation_id (str | Unset): An id without control characters. `.` and `..` are not
            allowed because they would change the path.
        metadata (list[str] | Unset):
        triggering_agent_id (str | Unset): An id without control characters. `.` and `..` are not
            allowed because they would change the path.
        status (TaskStatus | Unset): The state of a run.
        is_stale (bool | Unset):
        internal_status (str | Unset):
        tool (str | Unset):
        model (str | Unset):
        q (str | Unset):
        since (datetime.datetime | Unset):
        until (datetime.datetime | Unset):
        sort (ListTasksSort | Unset):
        order (ListTasksOrder | Unset):  Default: ListTasksOrder.DESC.
        limit (int | Unset):  Default: 1000.
        cursor (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Error | ValidationError | list[TaskListItem]]
    """

    kwargs = _get_kwargs(
        agent_id=agent_id,
        user_id=user_id,
        parent_task_id=parent_task_id,
        conversation_id=conversation_id,
        metadata=metadata,
        triggering_agent_id=triggering_agent_id,
        status=status,
        is_stale=is_stale,
        internal_status=internal_status,
        tool=tool,
        model=model,
        q=q,
        since=since,
        until=until,
        sort=sort,
        order=order,
        limit=limit,
        cursor=cursor,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    agent_id: str | Unset = UNSET,
    user_id: str | Unset = UNSET,
    parent_task_id: str | Unset = UNSET,
    conversation_id: str | Unset = UNSET,
    metadata: list[str] | Unset = UNSET,
    triggering_agent_id: str | Unset = UNSET,
    status: TaskStatus | Unset = UNSET,
    is_stale: bool | Unset = UNSET,
    internal_status: str | Unset = UNSET,
    tool: str | Unset = UNSET,
    model: str | Unset = UNSET,
    q: str | Unset = UNSET,
    since: datetime.datetime | Unset = UNSET,
    until: datetime.datetime | Unset = UNSET,
    sort: ListTasksSort | Unset = UNSET,
    order: ListTasksOrder | Unset = ListTasksOrder.DESC,
    limit: int | Unset = 1000,
    cursor: str | Unset = UNSET,
) -> Error | ValidationError | list[TaskListItem] | None:
    """List the tasks of the organization, newest first or sorted by a figure.

    Args:
        agent_id (str | Unset): An id without control characters. `.` and `..` are not allowed
            because they would change the path.
        user_id (str | Unset): An id without control characters. `.` and `..` are not allowed
            because they would change the path.
        parent_task_id (str | Unset): An id without control characters. `.` and `..` are not
            allowed because they would change the path.
        conversation_id (str | Unset): An id without control characters. `.` and `..` are not
            allowed because they would change the path.
        metadata (list[str] | Unset):
        triggering_agent_id (str | Unset): An id without control characters. `.` and `..` are not
            allowed because they would change the path.
        status (TaskStatus | Unset): The state of a run.
        is_stale (bool | Unset):
        internal_status (str | Unset):
        tool (str | Unset):
        model (str | Unset):
        q (str | Unset):
        since (datetime.datetime | Unset):
        until (datetime.datetime | Unset):
        sort (ListTasksSort | Unset):
        order (ListTasksOrder | Unset):  Default: ListTasksOrder.DESC.
        limit (int | Unset):  Default: 1000.
        cursor (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Error | ValidationError | list[TaskListItem]
    """

    return (
        await asyncio_detailed(
            client=client,
            agent_id=agent_id,
            user_id=user_id,
            parent_task_id=parent_task_id,
            conversation_id=conversation_id,
            metadata=metadata,
            triggering_agent_id=triggering_agent_id,
            status=status,
            is_stale=is_stale,
            internal_status=internal_status,
            tool=tool,
            model=model,
            q=q,
            since=since,
            until=until,
            sort=sort,
            order=order,
            limit=limit,
            cursor=cursor,
        )
    ).parsed
