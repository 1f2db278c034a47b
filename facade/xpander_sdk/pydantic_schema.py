"""Schemas of the SDK's objects for pydantic, and therefore for FastAPI. The SDK does not depend on pydantic.

pydantic calls `__get_pydantic_core_schema__` of a class that it does not know. Only then is this module's function
called, and imports pydantic.
"""

from collections.abc import Callable, Mapping
from typing import Any

Properties = Mapping[str, tuple[Any, bool]]
"""Type of each value of an object's dict, and whether a dict without it is invalid."""


def object_schema(
    cls: type[Any],
    handler: Any,
    properties: Properties,
    to_dict: Callable[[Any], Mapping[str, Any]],
) -> Any:
    """Return the schema of a class.

    The schema accepts an instance, or a dict from which it creates one with `cls(**values)`. It serializes an instance
    with `to_dict`.

    Args:
        cls: The class.
        handler: The handler that pydantic passes to `__get_pydantic_core_schema__`.
        properties: Values of the dict.
        to_dict: Function that returns an instance as a JSON-compatible dict.
    """
    from pydantic_core import core_schema

    values = core_schema.typed_dict_schema(
        {
            name: core_schema.typed_dict_field(handler.generate_schema(kind), required=is_required)
            for name, (kind, is_required) in properties.items()
        },
        cls_name=cls.__name__,
        ref=f"{cls.__module__}.{cls.__qualname__}:{id(cls)}",  # the name of the schema in OpenAPI is the class's
    )
    from_dict = core_schema.no_info_after_validator_function(lambda arguments: cls(**arguments), values)
    return core_schema.json_or_python_schema(
        json_schema=from_dict,
        python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), from_dict]),
        serialization=core_schema.plain_serializer_function_ser_schema(to_dict),
    )
