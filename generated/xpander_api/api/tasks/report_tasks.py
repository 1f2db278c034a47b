from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ... import errors
from ...models.error import Error
from ...models.report_outcomes import ReportOutcomes
from ...models.validation_error import ValidationError
from ...types import Response

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.task_reports import TaskReports


def _get_kwargs(
    *,
    body: TaskReports,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/agent-execution/reports",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Error | ReportOutcomes | ValidationError | None:
    if response.status_code == 200:
        response_200 = ReportOutcomes.from_dict(response.json())

        return response_200

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
) -> Response[Error | ReportOutcomes | ValidationError]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    body: TaskReports,
) -> Response[Error | ReportOutcomes | ValidationError]:
    """Report many runs.

     Stores up to 256 reports in one request. Each report is handled as if it were sent alone with
    `reportTask`, in the order of the list, and has its own outcome: an invalid report, or one whose id
    belongs to another agent, changes nothing and does not affect the others. Reports with the same id
    update the same task one after the other. The request can be repeated safely if each report contains
    an `id`.

    The statuses below, other than 200, apply to the request as a whole; then none of its reports is
    stored,
    except that 500 and 503 leave it open. The body may be compressed as that of `reportTask`. Each
    report has the limits of a body; the whole body has at most 4 MiB after decompression and 1,000,000
    values. A rate limit counts each report. A key without the scope `read` gets tasks that contain only
    what the reports of the batch state, with their time of arrival.

    A backend that has this operation returns the header `x-report-batch` with the responses of
    `reportTask`, and `report_batch` in `getHealth`.

    Args:
        body (TaskReports): A batch of reports.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Error | ReportOutcomes | ValidationError]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    body: TaskReports,
) -> Error | ReportOutcomes | ValidationError | None:
    """Report many runs.

     Stores up to 256 reports in one request. Each report is handled as if it were sent alone with
    `reportTask`, in the order of the list, and has its own outcome: an invalid report, or one whose id
    belongs to another agent, changes nothing and does not affect the others. Reports with the same id
    update the same task one after the other. The request can be repeated safely if each report contains
    an `id`.

    The statuses below, other than 200, apply to the request as a whole; then none of its reports is
    stored,
    except that 500 and 503 leave it open. The body may be compressed as that of `reportTask`. Each
    report has the limits of a body; the whole body has at most 4 MiB after decompression and 1,000,000
    values. A rate limit counts each report. A key without the scope `read` gets tasks that contain only
    what the reports of the batch state, with their time of arrival.

    A backend that has this operation returns the header `x-report-batch` with the responses of
    `reportTask`, and `report_batch` in `getHealth`.

    Args:
        body (TaskReports): A batch of reports.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Error | ReportOutcomes | ValidationError
    """

    return sync_detailed(
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    body: TaskReports,
) -> Response[Error | ReportOutcomes | ValidationError]:
    """Report many runs.

     Stores up to 256 reports in one request. Each report is handled as if it were sent alone with
    `reportTask`, in the order of the list, and has its own outcome: an invalid report, or one whose id
    belongs to another agent, changes nothing and does not affect the others. Reports with the same id
    update the same task one after the other. The request can be repeated safely if each report contains
    an `id`.

    The statuses below, other than 200, apply to the request as a whole; then none of its reports is
    stored,
    except that 500 and 503 leave it open. The body may be compressed as that of `reportTask`. Each
    report has the limits of a body; the whole body has at most 4 MiB after decompression and 1,000,000
    values. A rate limit counts each report. A key without the scope `read` gets tasks that contain only
    what the reports of the batch state, with their time of arrival.

    A backend that has this operation returns the header `x-report-batch` with the responses of
    `reportTask`, and `report_batch` in `getHealth`.

    Args:
        body (TaskReports): A batch of reports.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Error | ReportOutcomes | ValidationError]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    body: TaskReports,
) -> Error | ReportOutcomes | ValidationError | None:
    """Report many runs.

     Stores up to 256 reports in one request. Each report is handled as if it were sent alone with
    `reportTask`, in the order of the list, and has its own outcome: an invalid report, or one whose id
    belongs to another agent, changes nothing and does not affect the others. Reports with the same id
    update the same task one after the other. The request can be repeated safely if each report contains
    an `id`.

    The statuses below, other than 200, apply to the request as a whole; then none of its reports is
    stored,
    except that 500 and 503 leave it open. The body may be compressed as that of `reportTask`. Each
    report has the limits of a body; the whole body has at most 4 MiB after decompression and 1,000,000
    values. A rate limit counts each report. A key without the scope `read` gets tasks that contain only
    what the reports of the batch state, with their time of arrival.

    A backend that has this operation returns the header `x-report-batch` with the responses of
    `reportTask`, and `report_batch` in `getHealth`.

    Args:
        body (TaskReports): A batch of reports.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Error | ReportOutcomes | ValidationError
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
        )
    ).parsed
