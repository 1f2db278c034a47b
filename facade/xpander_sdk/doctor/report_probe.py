"""Check of the authorization to report, without recording anything.

The probe sends the request of a report with the JSON array `[]` as its body. A report is an object, so no backend can
record the array. The response shows how far the request went:

    401             the backend does not accept the key
    403             the key lacks the scope `report`, or belongs to another organization
    404, 405, 3xx   the URL of the backend is wrong
    400, 422        the request was authorized, and the body was rejected

The contract requires the last row: servers authorize a request before they validate its body. Another backend may
validate first, and may then answer 422 to an unknown key too. After a 400 or 422, the probe therefore also reads a task
that does not exist: the response is 401 if the key is unknown. A key with the scope `report` alone may not read (403);
reports do not need that.

A response that fits none of these rows proves nothing, and the check is undetermined instead of failed.
"""

import json
import uuid

from xpander_sdk.client import client, operations
from xpander_sdk.doctor.findings import CheckFailed, CheckUndetermined
from xpander_sdk.errors import ModuleException
from xpander_sdk.presentation import shorten
from xpander_sdk.settings.configuration import Configuration
from xpander_sdk.transport.base import Response

_UNAVAILABLE = frozenset({408, 502, 503, 504})
_MAX_REASON = 300  # characters
_NOT_ROUTED = ("not found", "")  # the 404 of frameworks for an unknown path, in lower case
_UNKNOWN_KEY = (
    "the backend does not accept the key (401). Check that it is complete, of this backend, not expired and not revoked"
)


def send_invalid_report(configuration: Configuration, agent_id: str) -> Response:
    """Send a report that no backend can record, and return the response.

    Raises:
        ModuleException: The backend did not respond.
        ValueError: The configuration is incomplete.
    """
    return client.probe(configuration, operations.invalid_report(agent_id))


def explain_response(configuration: Configuration, response: Response, *, is_known_agent: bool) -> str:
    """Return the message for a response to `send_invalid_report`.

    Args:
        configuration: The configuration that sent the request.
        response: The response.
        is_known_agent: Whether the caller reports for the agent of the request. A backend may answer 404 for an agent
            that does not exist.

    Raises:
        CheckFailed: A report would not be accepted.
        CheckUndetermined: The response does not show whether a report would be accepted.
    """
    status = response.status
    reason = shorten(client.explain(configuration, response), _MAX_REASON)
    url = configuration.get_full_url()
    if status == 401:
        raise CheckFailed(_UNKNOWN_KEY)
    if status == 403:
        raise CheckFailed(f"the key may not report (403): {reason} Check its scopes and its organization")
    if 300 <= status < 400:
        raise CheckFailed(f"the backend does not receive reports at {url} ({status}): {reason}")
    if _is_wrong_url(response, is_known_agent=is_known_agent):
        raise CheckFailed(f"{url} does not receive reports ({status}): {reason} Check the path of base_url")
    if status in _UNAVAILABLE:
        raise CheckFailed(f"the backend is unavailable ({status}): {reason}")
    read_status = _read_status(configuration)
    if read_status == 401:
        raise CheckFailed(_UNKNOWN_KEY)
    if status not in (400, 422) or _detail(response) is None:
        raise CheckUndetermined(f"the response to an invalid report was {status}, which does not show its reason")
    if read_status == 403:
        return "the backend accepts reports with the key, which may not read runs (403)"
    return "the backend accepts reports with the key"


def _is_wrong_url(response: Response, *, is_known_agent: bool) -> bool:
    if response.status == 405:
        return True
    if response.status == 404:
        detail = _detail(response)
        return is_known_agent or not isinstance(detail, str) or detail.strip(" .").lower() in _NOT_ROUTED
    return 200 <= response.status < 300 and not _is_json(response)  # for example a web page


def _read_status(configuration: Configuration) -> int | None:
    try:
        return client.probe(configuration, operations.get_task(f"doctor-{uuid.uuid4()}")).status
    except ModuleException:  # reports do not need to read
        return None


def _is_json(response: Response) -> bool:
    try:
        json.loads(response.body)
    except (ValueError, RecursionError):
        return False
    return True


def _detail(response: Response) -> object:
    """Return the `detail` of an error; None if the response has another form than the API's."""
    try:
        return json.loads(response.body)["detail"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
