"""Fields of a report that a backend supports.

Every backend supports the documented fields. The others, the extended fields, are sent only to a backend whose
`/health` names them in `report_fields`:

    report without extended fields       sent as it is; `/health` is not asked
    first report with extended fields    GET /health, once for each process and destination
    backend names the fields             sent as it is
    backend does not                     sent with the documented fields only, `error` in place of an empty `result`
"""

import json
import re
from functools import cache
from typing import Any

from attrs import evolve

from xpander_sdk.errors import ContractError, ModuleException
from xpander_sdk.reporting import fields, plain_json
from xpander_sdk.reporting.report import Report

# Responses after which `/health` is asked again, because they do not tell which backend it is.
_TEMPORARY_STATUSES = frozenset({408, 425, 429, 502, 503, 504})
_ACCESS_STATUSES = frozenset({401, 403, 407})


def extended_fields(report: Report) -> frozenset[str]:
    """Return the extended fields that a report contains; none if its content is not an object."""
    if report.extended_fields is not None:
        return report.extended_fields
    if not _extended_name().search(report.content):  # most reports, which need not be decoded then
        return frozenset()
    try:
        content = json.loads(report.content)
    except ValueError:
        return frozenset()
    return frozenset(content).difference(fields.documented_names()) if isinstance(content, dict) else frozenset()


@cache
def _extended_name() -> re.Pattern[bytes]:
    names = set(fields.declarations()).difference(fields.documented_names())
    return re.compile(rf'"(?:{"|".join(sorted(names))})"'.encode())


def limit_report(report: Report, supported: frozenset[str]) -> Report:
    """Return the report for a backend that supports only these extended fields.

    Example: a backend without extended fields

        {"id": "r", "result": null, "error": "timeout", "user_id": "u"}    the report
        {"id": "r", "result": "timeout"}                                   the report for that backend
    """
    content: dict[str, Any] = json.loads(report.content)
    documented = fields.documented_names()
    limited = {name: value for name, value in content.items() if name in documented or name in supported}
    if "error" not in limited and not limited.get("result"):
        limited["result"] = content.get("error") or limited.get("result")
    extended = frozenset(limited).difference(documented)
    return evolve(report, content=plain_json.encode(limited), extended_fields=extended)


def read_supported_fields(body: Any) -> frozenset[str]:
    """Return the extended fields that the response of `/health` names; none for another backend."""
    names = body.get("report_fields") if isinstance(body, dict) else None
    return frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()


def is_final_answer(error: ModuleException) -> bool:
    """Return whether a failed request for `/health` tells that the backend supports no extended fields.

    A backend that does not respond, or that is overloaded, may support them: the report fails in the same way.
    """
    return isinstance(error, ContractError) or (error.status_code not in (None, *_TEMPORARY_STATUSES))


def may_be_remembered(error: ModuleException) -> bool:
    """Return whether the answer stays the same: a proxy that refuses access may let the next request pass."""
    return error.status_code not in _ACCESS_STATUSES
