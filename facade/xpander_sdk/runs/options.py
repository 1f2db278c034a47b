"""Options of `Backend.run`."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen

from xpander_sdk.settings.configuration import Configuration
from xpander_sdk.settings.validators import one_of, optional_callable

if TYPE_CHECKING:
    from uuid import UUID

    from attrs import Attribute

    from xpander_sdk.runs.run import Run

Route = Literal["outbox", "direct"]
OnError = Literal["log", "raise"]


def _optional_route(instance: object, attribute: "Attribute[Any]", value: object) -> None:
    if value is not None:
        one_of(Route)(instance, attribute, value)


def _on_error(instance: object, attribute: "Attribute[Any]", value: object) -> None:
    if value != "log":  # the usual value; every run passes here
        one_of(OnError)(instance, attribute, value)


def _share(instance: object, attribute: "Attribute[Any]", value: Any) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError(f"sample must be a number from 0 to 1, got {value!r}")


@frozen(kw_only=True, eq=False)
class RunOptions:
    """Arguments of `Backend.run`.

    The options do not change the caller's data, so an invalid one raises `ValueError` where the run is created. Data
    that cannot be reported is left out and logged later, when the run must not be disturbed.
    """

    configuration: Configuration
    agent_id: Any = None
    agent: Any = None
    id: "str | UUID | int | None" = None
    input: Any = None
    user_id: str | None = None
    conversation_id: str | None = None
    metadata: Mapping[str, str] | None = None
    parent: "Run | str | None" = None
    via: Route | None = field(default=None, validator=_optional_route)
    start: bool = True
    sample: float = field(default=1.0, validator=_share)
    mask: Callable[[dict[str, Any]], Mapping[str, Any]] | None = field(default=None, validator=optional_callable)
    on_error: OnError = field(default="log", validator=_on_error)
