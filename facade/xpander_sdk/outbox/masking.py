"""Application of the caller's mask to a report before it is written to disk."""

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve

from xpander_sdk.reporting import plain_json
from xpander_sdk.reporting.json_encoder import to_jsonable
from xpander_sdk.reporting.report import Report

_log = logging.getLogger("xpander_sdk")
_FIELDS_WITHOUT_TEXT = ("tokens", "is_success", "duration")
_CALL_FIELDS_WITHOUT_TEXT = ("provider", "model", "response_id", "tokens", "prompt_includes_cache", "duration", "cost")


def apply_mask(report: Report, mask: Callable[[dict[str, Any]], Mapping[str, Any]]) -> Report:
    """Return the report as the mask changes it; the id stays.

    If the mask raises or does not return a dict, the report keeps only its fields without text.
    """
    fields = json.loads(report.content)
    # Read before the mask runs: it may change the dict in place.
    without_text = {name: fields.get(name) for name in _FIELDS_WITHOUT_TEXT}
    if "calls" in fields:
        without_text["calls"] = [
            {name: call[name] for name in _CALL_FIELDS_WITHOUT_TEXT if name in call} for call in fields["calls"]
        ]
    try:
        masked = mask(fields)
        if not isinstance(masked, Mapping):
            raise TypeError(f"mask must return a dict, got {type(masked).__name__}")
        body = to_jsonable(dict(masked))
    except Exception as error:
        # The text of the error is not logged: it may quote private data.
        _log.error("the mask of the outbox failed, so the texts of the run were removed: %s", type(error).__name__)
        body = {**dict.fromkeys(fields), **without_text}
    return evolve(report, extended_fields=None, content=plain_json.encode({**body, "id": report.id}))
