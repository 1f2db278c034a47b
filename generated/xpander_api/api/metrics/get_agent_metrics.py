from __future__ import annotations

import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ... import errors
from ...models.agent_metrics import AgentMetrics
from ...models.error import Error
from ...models.validation_error import ValidationError
from ...types import UNSET, Response, Unset

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.get_agent_metrics_by import GetAgentMetricsBy


def _get_kwargs(
    agent_id: str,
    *,
    since: datetime.datetime | Unset = UNSET,
    until: datetime.datetime | Unset = UNSET,
    by: GetAgentMetricsBy | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    json_since: str | Unset = UNSET
    if not isinstance(since, Unset):
        json_since = since.isoformat()

    params["since"] = json_since

    json_until: str | Unset = UNSET
    if not isinstance(until, Unset):
        json_until = until.isoformat()

    params["until"] = json_until

    json_by: str | Unset = UNSET
    if not isinstance(by, Unset):
        json_by = by.value

    params["by"] = json_by

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/agents-metrics/{agent_id}".format(
            agent_id=quote(str(agent_id), safe=""),
        ),
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> AgentMetrics | Error | ValidationError | None:
    if response.status_code == 200:
        response_200 = AgentMetrics.from_dict(response.json())

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
) -> Response[AgentMetrics | Error | ValidationError]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    agent_id: str,
    *,
    client: AuthenticatedClient | Client,
    since: datetime.datetime | Unset = UNSET,
    until: datetime.datetime | Unset = UNSET,
    by: GetAgentMetricsBy | Unset = UNSET,
) -> Response[AgentMetrics | Error | ValidationError]:
    """Get the metrics of an agent.

     Each task is counted once, in its current state, at its `created_at`. An update does not move a
    task to another time, unless the update contains `created_at`: the task is then counted at the
    new time only. An agent without tasks has zeros.

    Args:
        agent_id (str): An id without control characters. `.` and `..` are not allowed because
            they would change the path.
        since (datetime.datetime | Unset):
        until (datetime.datetime | Unset):
        by (GetAgentMetricsBy | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[AgentMetrics | Error | ValidationError]
    """

    kwargs = _get_kwargs(
        agent_id=agent_id,
        since=since,
        until=until,
        by=by,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    agent_id: str,
    *,
    client: AuthenticatedClient | Client,
    since: datetime.datetime | Unset = UNSET,
    until: datetime.datetime | Unset = UNSET,
    by: GetAgentMetricsBy | Unset = UNSET,
) -> AgentMetrics | Error | ValidationError | None:
    """Get the metrics of an agent.

     Each task is counted once, in its current state, at its `created_at`. An update does not move a
    task to another time, unless the update contains `created_at`: the task is then counted at the
    new time only. An agent without tasks has zeros.

    Args:
        agent_id (str): An id without control characters. `.` and `..` are not allowed because
            they would change the path.
        since (datetime.datetime | Unset):
        until (datetime.datetime | Unset):
        by (GetAgentMetricsBy | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        AgentMetrics | Error | ValidationError
    """

    return sync_detailed(
        agent_id=agent_id,
        client=client,
        since=since,
        until=until,
        by=by,
    ).parsed


async def asyncio_detailed(
    agent_id: str,
    *,
    client: AuthenticatedClient | Client,
    since: datetime.datetime | Unset = UNSET,
    until: datetime.datetime | Unset = UNSET,
    by: GetAgentMetricsBy | Unset = UNSET,
) -> Response[AgentMetrics | Error | ValidationError]:
    """Get the metrics of an agent.

     Each task is counted once, in its current state, at its `created_at`. An update does not move a
    task to another time, unless the update contains `created_at`: the task is then counted at the
    new time only. An agent without tasks has zeros.

    Args:
        agent_id (str): An id without control characters. `.` and `..` are not allowed because
            they would change the path.
        since (datetime.datetime | Unset):
        until (datetime.datetime | Unset):
        by (GetAgentMetricsBy | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[AgentMetrics | Error | ValidationError]
    """

    kwargs = _get_kwargs(
        agent_id=agent_id,
        since=since,
        until=until,
        by=by,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    agent_id: str,
    *,
    client: AuthenticatedClient | Client,
    since: datetime.datetime | Unset = UNSET,
    until: datetime.datetime | Unset = UNSET,
    by: GetAgentMetricsBy | Unset = UNSET,
) -> AgentMetrics | Error | ValidationError | None:
    """Get the metrics of an agent.

     Each task is counted once, in its current state, at its `created_at`. An update does not move a
    task to another time, unless the update contains `created_at`: the task is then counted at the
    new time only. An agent without tasks has zeros.

    Args:
        agent_id (str): An id without control characters. `.` and `..` are not allowed because
            they would change the path.
        since (datetime.datetime | Unset):
        until (datetime.datetime | Unset):
        by (GetAgentMetricsBy | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        AgentMetrics | Error | ValidationError
    """

    return (
        await asyncio_detailed(
            agent_id=agent_id,
            client=client,
            since=since,
            until=until,
            by=by,
        )
    ).parsed
