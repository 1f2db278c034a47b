"""Validators that several settings classes share.

A class of `_records` calls a validator with the instance, the field and the value. Each error names the setting: the
classes are part of the public interface, and users pass their arguments directly.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from attrs import Attribute

Validator = Callable[[object, "Attribute[Any]", Any], None]


def environment_variable(name: str) -> str | None:
    """Return the value of an environment variable, or None if it is not set.

    Raises:
        ValueError: The variable is empty. A deployment that fills it from a missing value would otherwise send reports
            and keys to the default destination.
    """
    value = os.environ.get(name)
    if value is not None and not value.strip():
        raise ValueError(f"{name} must not be empty; set it, or unset it for the default")
    return value


def optional_str(instance: object, attribute: "Attribute[Any]", value: object) -> None:
    """Accept None, and text that is not empty and has no control characters and lone surrogates."""
    if value is None:
        return
    if not isinstance(value, str):
        raise ValueError(f"{attribute.name} must be a str, got {type(value).__name__}")
    if not value.strip():
        raise ValueError(f"{attribute.name} must not be empty; omit it for the default")
    if any("\ud800" <= character <= "\udfff" or character < " " for character in value):
        # Without the value: the URL of a proxy contains a password.
        raise ValueError(f"{attribute.name} must not contain control characters or lone surrogates")


def optional_callable(instance: object, attribute: "Attribute[Any]", value: object) -> None:
    """Accept None and anything callable."""
    if value is not None and not callable(value):
        raise ValueError(f"{attribute.name} must be callable, got {type(value).__name__}")


def positive(instance: object, attribute: "Attribute[Any]", value: Any) -> None:
    """Accept a finite number above 0."""
    if not (_is_number(value, float) and 0 < value < float("inf")):
        raise ValueError(f"{attribute.name} must be a number above 0, got {value!r}")


def at_least(minimum: int, kind: type = int) -> Validator:
    """Return a validator that accepts finite numbers from `minimum`: whole numbers, or with `kind=float` any."""

    def validate(instance: object, attribute: "Attribute[Any]", value: Any) -> None:
        if not (_is_number(value, kind) and minimum <= value < float("inf")):
            noun = "a whole number" if kind is int else "a number"
            raise ValueError(f"{attribute.name} must be {noun} of at least {minimum}, got {value!r}")

    return validate


def instance_of(kind: type) -> Validator:
    """Return a validator that accepts instances of `kind`."""

    def validate(instance: object, attribute: "Attribute[Any]", value: object) -> None:
        if not isinstance(value, kind):
            raise ValueError(f"{attribute.name} must be {kind.__name__}(…), got {type(value).__name__}")

    return validate


def one_of(literal: Any) -> Validator:
    """Return a validator that accepts the values of a `Literal` type."""

    def validate(instance: object, attribute: "Attribute[Any]", value: object) -> None:
        choices = get_args(literal)
        if value not in choices:
            raise ValueError(f"{attribute.name} must be one of {', '.join(map(repr, choices))}, got {value!r}")

    return validate


def _is_number(value: object, kind: type) -> bool:
    return isinstance(value, int | kind) and not isinstance(value, bool)
