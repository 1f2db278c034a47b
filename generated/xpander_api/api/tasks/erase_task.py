from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from ... import errors
from ...models.error import Error
from ...models.validation_error import ValidationError
from ...types import Response

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client


def _get_kwargs(
    task_id: str,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "delete",
        "url": "/agent-execution/{task_id}".format(
            task_id=quote(str(task_id), safe=""),
        ),
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Any | Error | ValidationError | None:
    if response.status_code == 204:
        response_204 = cast(Any, None)
        return response_204

    if response.status_code == 401:
        response_401 = Error.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = Error.from_dict(response.json())

        return response_403

    if response.status_code == 404:
        response_404 = Error.from_dict(response.json())

        return response_404

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
) -> Response[Any | Error | ValidationError]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    task_id: str,
    *,
    client: AuthenticatedClient,
) -> Response[Any | Error | ValidationError]:
    """Erase a task.

     Deletes the contents of the task for good: input, result, response, error, user, conversation,
    metadata and updates. Metrics keep counting the run. The id stays reserved: a report that
    arrives later for this id is answered with 409 and stores nothing. The backend records which key
    erased the task, and when. Copies elsewhere, such as backups, exports and outboxes, are not
    affected.

    Args:
        task_id (str): An id without control characters. `.` and `..` are not allowed because they
            would change the path.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Any | Error | ValidationError]
    """

    kwargs = _get_kwargs(
        task_id=task_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    task_id: str,
    *,
    client: AuthenticatedClient,
) -> Any | Error | ValidationError | None:
    """Erase a task.

     Deletes the contents of the task for good: input, result, response, error, user, conversation,
    metadata and updates. Metrics keep counting the run. The id stays reserved: a report that
    arrives later for this id is answered with 409 and stores nothing. The backend records which key
    erased the task, and when. Copies elsewhere, such as backups, exports and outboxes, are not
    affected.

    Args:
        task_id (str): An id without control characters. `.` and `..` are not allowed because they
            would change the path.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Any | Error | ValidationError
    """

    return sync_detailed(
        task_id=task_id,
        client=client,
    ).parsed


async def asyncio_detailed(
    task_id: str,
    *,
    client: AuthenticatedClient,
) -> Response[Any | Error | ValidationError]:
    """Erase a task.

     Deletes the contents of the task for good: input, result, response, error, user, conversation,
    metadata and updates. Metrics keep counting the run. The id stays reserved: a report that
    arrives later for this id is answered with 409 and stores nothing. The backend records which key
    erased the task, and when. Copies elsewhere, such as backups, exports and outboxes, are not
    affected.

    Args:
        task_id (str): An id without control characters. `.` and `..` are not allowed because they
            would change the path.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Any | Error | ValidationError]
    """

    kwargs = _get_kwargs(
        task_id=task_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    task_id: str,
    *,
    client: AuthenticatedClient,
) -> Any | Error | ValidationError | None:
    """Erase a task.

     Deletes the contents of the task for good: input, result, response, error, user, conversation,
    metadata and updates. Metrics keep counting the run. The id stays reserved: a report that
    arrives later for this id is answered with 409 and stores nothing. The backend records which key
    erased the task, and when. Copies elsewhere, such as backups, exports and outboxes, are not
    affected.

    Args:
        task_id (str): An id without control characters. `.` and `..` are not allowed because they
            would change the path.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Any | Error | ValidationError
    """

    return (
        await asyncio_detailed(
            task_id=task_id,
            client=client,
        )
    ).parsed
