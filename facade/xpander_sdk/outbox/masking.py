"""Privacy: a report passes its owner's mask before it touches the disk."""

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve

from xpander_sdk.reporting.json_encoder import to_jsonable
from xpander_sdk.reporting.report import Report, encode_json

_log = logging.getLogger("xpander_sdk")
_NUMBERS = ("tokens", "is_success", "duration")


def apply_mask(report: Report, mask: Callable[[dict[str, Any]], Mapping[str, Any]]) -> Report:
    """The report as the mask leaves it; where the mask fails, the run's numbers alone."""
    said = json.loads(report.content)
    numbers = {name: said.get(name) for name in _NUMBERS}
    try:
        shown = mask(said)
        if not isinstance(shown, Mapping):
            raise TypeError(f"it returned {type(shown).__name__}, not a dict")
        body = to_jsonable(dict(shown))
    except Exception as error:
        # The error's own text may quote what was to be masked.
        _log.error("the mask of the outbox failed (%s): the run's texts were left out", type(error).__name__)
        body = {**dict.fromkeys(said), **numbers}
    return evolve(report, content=encode_json({**body, "id": report.id}))
