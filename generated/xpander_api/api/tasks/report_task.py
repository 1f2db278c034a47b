from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ... import errors
from ...models.error import Error
from ...models.task import Task
from ...models.validation_error import ValidationError
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.task_report import TaskReport


def _get_kwargs(
    agent_id: str,
    *,
    body: TaskReport,
    x_reported_at: int | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(x_reported_at, Unset):
        headers["x-reported-at"] = str(x_reported_at)

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/agent-execution/{agent_id}/report_task".format(
            agent_id=quote(str(agent_id), safe=""),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Error | Task | ValidationError | None:
    if response.status_code == 200:
        response_200 = Task.from_dict(response.json())

        return response_200

    if response.status_code == 201:
        response_201 = Task.from_dict(response.json())

        return response_201

    if response.status_code == 400:
        response_400 = Error.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = Error.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = Error.from_dict(response.json())

        return response_403

    if response.status_code == 408:
        response_408 = Error.from_dict(response.json())

        return response_408

    if response.status_code == 409:
        response_409 = Error.from_dict(response.json())

        return response_409

    if response.status_code == 413:
        response_413 = Error.from_dict(response.json())

        return response_413

    if response.status_code == 415:
        response_415 = Error.from_dict(response.json())

        return response_415

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
) -> Response[Error | Task | ValidationError]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    agent_id: str,
    *,
    client: AuthenticatedClient,
    body: TaskReport,
    x_reported_at: int | Unset = UNSET,
) -> Response[Error | Task | ValidationError]:
    """Report a run.

     Creates a task, or updates the task with this id. The request can be repeated safely if it
    contains an `id`. The body may be compressed with `Content-Encoding: gzip` or `zstd`: a single
    complete stream of at most 4 MiB after decompression. A key without the scope `read` gets a task
    that contains only what this report states, with its time of arrival.

    Args:
        agent_id (str): An id without control characters. `.` and `..` are not allowed because
            they would change the path.
        x_reported_at (int | Unset):
        body (TaskReport): The facts that a caller has about one run. Null means unknown.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Error | Task | ValidationError]
    """

    kwargs = _get_kwargs(
        agent_id=agent_id,
        body=body,
        x_reported_at=x_reported_at,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    agent_id: str,
    *,
    client: AuthenticatedClient,
    body: TaskReport,
    x_reported_at: int | Unset = UNSET,
) -> Error | Task | ValidationError | None:
    """Report a run.

     Creates a task, or updates the task with this id. The request can be repeated safely if it
    contains an `id`. The body may be compressed with `Content-Encoding: gzip` or `zstd`: a single
    complete stream of at most 4 MiB after decompression. A key without the scope `read` gets a task
    that contains only what this report states, with its time of arrival.

    Args:
        agent_id (str): An id without control characters. `.` and `..` are not allowed because
            they would change the path.
        x_reported_at (int | Unset):
        body (TaskReport): The facts that a caller has about one run. Null means unknown.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Error | Task | ValidationError
    """

    return sync_detailed(
        agent_id=agent_id,
        client=client,
        body=body,
        x_reported_at=x_reported_at,
    ).parsed


async def asyncio_detailed(
    agent_id: str,
    *,
    client: AuthenticatedClient,
    body: TaskReport,
    x_reported_at: int | Unset = UNSET,
) -> Response[Error | Task | ValidationError]:
    """Report a run.

     Creates a task, or updates the task with this id. The request can be repeated safely if it
    contains an `id`. The body may be compressed with `Content-Encoding: gzip` or `zstd`: a single
    complete stream of at most 4 MiB after decompression. A key without the scope `read` gets a task
    that contains only what this report states, with its time of arrival.

    Args:
        agent_id (str): An id without control characters. `.` and `..` are not allowed because
            they would change the path.
        x_reported_at (int | Unset):
        body (TaskReport): The facts that a caller has about one run. Null means unknown.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Error | Task | ValidationError]
    """

    kwargs = _get_kwargs(
        agent_id=agent_id,
        body=body,
        x_reported_at=x_reported_at,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    agent_id: str,
    *,
    client: AuthenticatedClient,
    body: TaskReport,
    x_reported_at: int | Unset = UNSET,
) -> Error | Task | ValidationError | None:
    """Report a run.

     Creates a task, or updates the task with this id. The request can be repeated safely if it
    contains an `id`. The body may be compressed with `Content-Encoding: gzip` or `zstd`: a single
    complete stream of at most 4 MiB after decompression. A key without the scope `read` gets a task
    that contains only what this report states, with its time of arrival.

    Args:
        agent_id (str): An id without control characters. `.` and `..` are not allowed because
            they would change the path.
        x_reported_at (int | Unset):
        body (TaskReport): The facts that a caller has about one run. Null means unknown.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Error | Task | ValidationError
    """

    return (
        await asyncio_detailed(
            agent_id=agent_id,
            client=client,
            body=body,
            x_reported_at=x_reported_at,
        )
    ).parsed
