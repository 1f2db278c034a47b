"""Base class of the objects that the SDK returns: their forms as text, HTML table, dict and JSON."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_type_hints

from xpander_sdk._fork import import_lock
from xpander_sdk.presentation import html_table, short_repr
from xpander_sdk.pydantic_schema import object_schema
from xpander_sdk.settings.configuration import Configuration

if TYPE_CHECKING:
    from attrs import Attribute


class ConfigurationReference:
    """Reference of an object to the configuration that loaded it.

    The configuration contains the API key. Functions that convert an object generically (`attrs.asdict`, pickle) reach
    the reference, and none of them reaches the configuration: a pickle contains an empty reference. Copies in the same
    process share the configuration.

    Attributes:
        configuration: The configuration, or None.
    """

    __slots__ = ("configuration",)

    def __init__(self, configuration: "Configuration | ConfigurationReference | None") -> None:
        if isinstance(configuration, ConfigurationReference):  # `attrs.evolve` passes the value of the field
            configuration = configuration.configuration
        self.configuration: Configuration | None = configuration

    def __reduce__(self) -> tuple[type["ConfigurationReference"], tuple[None]]:
        return ConfigurationReference, (None,)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class ApiObject:
    """Base class of the attrs classes that the SDK returns.

    A field with `repr=False` is not part of any form of the object.
    """

    __slots__ = ()

    __attrs_attrs__: ClassVar[Any]
    _first_fields: ClassVar[tuple[str, ...]] = ()
    """Most important fields, in the order of the repr. The other fields follow in the order of their declaration."""

    def to_dict(self) -> dict[str, Any]:
        """Return the object as a JSON-compatible dict, without the configuration."""
        return {field.name: _to_jsonable(getattr(self, field.name)) for field in self._visible_fields()}

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Iterate over the names and values of `to_dict`.

        `dict(task)` therefore equals `task.to_dict()`, as it does for a pydantic model. FastAPI calls `dict` for an
        object that an endpoint without a response model returns.
        """
        return iter(self.to_dict().items())

    def __repr__(self) -> str:
        return short_repr(type(self).__name__, self._set_fields())

    def _repr_html_(self) -> str:
        """Return an HTML table of the fields that are set; notebooks call this method."""
        return html_table(type(self).__name__, self._html_rows())

    def _html_rows(self) -> Iterator[tuple[str, str]]:
        for name, value in self._set_fields():
            yield name, _html_text(value)

    def _set_fields(self) -> Iterator[tuple[str, Any]]:
        """Yield the names and values of the fields that are neither None nor an empty list or dict."""
        names = [field.name for field in self._visible_fields()]
        for name in dict.fromkeys([*self._first_fields, *names]):
            value = getattr(self, name)
            is_empty = value is None or (isinstance(value, list | dict) and not value)
            if not is_empty:
                yield name, value

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from attrs import NOTHING

        hints = get_type_hints(cls)
        properties = {field.name: (hints[field.name], field.default is NOTHING) for field in cls._visible_fields()}
        return object_schema(cls, handler, properties, cls.to_dict)

    @classmethod
    def _visible_fields(cls) -> "list[Attribute[Any]]":
        return [field for field in cls.__attrs_attrs__ if field.repr]


def _html_text(value: Any) -> str:
    encoded = _to_jsonable(value)
    if isinstance(encoded, str):
        return encoded
    import json  # imported here: `import xpander_sdk` does not need it

    return json.dumps(encoded, ensure_ascii=False)


def _to_jsonable(value: Any) -> Any:
    with import_lock:  # a fork during the import would leave an import lock held in the child
        from xpander_sdk.reporting.json_encoder import to_jsonable
    return to_jsonable(value)
