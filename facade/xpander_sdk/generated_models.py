"""Conversion of the generated models of the API to the classes of the SDK."""

from datetime import UTC, datetime
from functools import cache
from typing import Any

from xpander_sdk._fork import import_lock
from xpander_sdk.reporting.validation import parse_datetime


@cache
def _field_names(cls: type) -> tuple[tuple[str, bool], ...]:
    """Return the name of each field of a class, and whether the field is a time."""
    with import_lock:  # `import xpander_sdk` does not need attrs
        from attrs import fields
    return tuple((attribute.name, attribute.name.endswith("_at")) for attribute in fields(cls))


def read_fields(cls: type, model: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values in a generated model for the fields of `cls`, and all other values."""
    from xpander_api.types import UNSET

    values, extra = {}, dict(model.additional_properties)
    for name, is_time in _field_names(cls):
        value = getattr(model, name, None)
        if value is None or value is UNSET:
            continue
        if not is_time:
            values[name] = value
        elif isinstance(value, datetime):
            values[name] = value if value.tzinfo is UTC else parse_datetime(name, value)
        else:
            extra[name] = value  # a malformed time: an error would hide that the report was recorded
    return values, extra
