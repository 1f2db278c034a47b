"""Classes with fields, as attrs makes them, without the import of attrs.

attrs and the classes that it builds took more than half of the time of `import xpander_sdk`. The classes that this
import needs are therefore built here, and what most programs never use is built at its first use:

    at the import          slots, `__eq__`, `__hash__`, `__setattr__`, pickling
    at the first instance  `__init__`, from generated code as in attrs
    when attrs asks        `__attrs_attrs__`: `attrs.fields`, `attrs.evolve` and `attrs.asdict` work as if attrs had
                           built the class

To a type checker these are attrs' own functions. `tests/unit/test_records.py` compares both. Unlike attrs, this module
supports neither `super()` without arguments in such a class, nor one such class as the base of another.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

__all__ = ["DEFERRABLE", "Deferred", "define", "evolve", "field", "frozen"]

DEFERRABLE = {"may_be_deferred": True}
"""Metadata of a field whose value may be a `Deferred`."""


class Deferred:
    """Value of a field that is computed when it is read for the first time.

    Args:
        compute: Function that returns the value. Two threads may call it at the same time.
    """

    __slots__ = ("compute",)

    def __init__(self, compute: Callable[[], Any]) -> None:
        self.compute = compute


if TYPE_CHECKING:
    from attrs import define, evolve, field, frozen
else:
    from operator import attrgetter
    from typing import ClassVar

    from xpander_sdk._fork import import_lock

    class _Nothing:
        def __repr__(self):
            return "NOTHING"

    _NOTHING = _Nothing()  # the default of a parameter whose field has a factory

    class _Field:
        """Description of a field. Validators get it in place of attrs' `Attribute`, and read its name."""

        __slots__ = ("alias", "arguments", "name", "type")

        def __init__(self, arguments):
            self.arguments = arguments

        def bind(self, name, kind):
            """Set the name and the type, and return the field."""
            self.name, self.type = name, kind
            self.alias = self.arguments.get("alias") or name.lstrip("_")
            return self

        def __getattr__(self, name):
            return self.arguments.get(name)

    def field(**arguments):
        """Return the description of a field. The arguments are those of `attrs.field`."""
        return _Field(arguments)

    def frozen(cls=None, **options):
        """Build an immutable class. The options are those of `attrs.frozen` that the callers use."""
        return _decorate(cls, is_frozen=True, **options)

    def define(cls=None, **options):
        """Build a class with slots. The options are those of `attrs.define` that the callers use."""
        return _decorate(cls, is_frozen=False, **options)

    def evolve(instance, **changes):
        """Return a copy with other values, as `attrs.evolve` does."""
        fields = vars(type(instance)).get("__record_fields__")
        if fields is None:
            with import_lock:
                import attrs
            return attrs.evolve(instance, **changes)
        for each in fields:
            if each.alias not in changes:
                changes[each.alias] = getattr(instance, each.name)
        return type(instance)(**changes)

    def _decorate(cls, *, is_frozen, **options):
        if cls is None:
            return lambda decorated: _build(decorated, is_frozen, **options)
        return _build(cls, is_frozen, **options)

    def _build(cls, is_frozen, *, kw_only=False, init=True, repr=True, eq=True, cache_hash=False):
        namespace = dict(vars(cls))
        for name in ("__dict__", "__weakref__"):
            namespace.pop(name, None)
        fields = []
        for name, kind in cls.__annotations__.items():
            if not _is_class_variable(kind):
                value = namespace.pop(name, _NOTHING)
                if not isinstance(value, _Field):
                    value = _Field({} if value is _NOTHING else {"default": value})
                fields.append(value.bind(name, kind))
        names = tuple(each.name for each in fields)
        slots = [*names, *(("_cached_hash",) if cache_hash else ())]
        if not any("__weakref__" in vars(base) for base in cls.__mro__[1:]):
            slots.append("__weakref__")
        namespace |= {
            "__slots__": tuple(slots),
            "__qualname__": cls.__qualname__,
            "__record_fields__": tuple(fields),
            "__attrs_attrs__": _AttrsAttributes(kw_only),
            "__match_args__": () if kw_only else tuple(each.alias for each in fields) if init else (),
            "__getstate__": lambda self: {name: getattr(self, name) for name in names},
            "__setstate__": _state_setter(names),
        }
        if init:
            namespace["__init__"] = _Init(kw_only, is_frozen)
        if repr:
            namespace["__repr__"] = _repr
        if eq:
            _add_comparison(namespace, fields, is_frozen, cache_hash)
        if is_frozen:
            namespace["__setattr__"], namespace["__delattr__"] = _refuse_set, _refuse_delete
        built = type(cls)(cls.__name__, cls.__bases__, namespace)
        for name in ("__init__", "__attrs_attrs__"):
            if isinstance(part := namespace.get(name), _Init | _AttrsAttributes):
                part.owner = built
        for each in fields:
            if each.arguments.get("metadata") is DEFERRABLE:
                setattr(built, each.name, _DeferrableSlot(vars(built)[each.name]))
        return built

    class _DeferrableSlot:
        """Slot that computes a `Deferred` value when it is read, and keeps the result."""

        def __init__(self, slot):
            self._slot = slot
            self.__doc__ = slot.__doc__

        def __get__(self, instance, owner=None):
            if instance is None:
                return self
            value = self._slot.__get__(instance, owner)
            if type(value) is Deferred:
                value = value.compute()
                self._slot.__set__(instance, value)
            return value

        def __set__(self, instance, value):
            self._slot.__set__(instance, value)

        def __delete__(self, instance):
            self._slot.__delete__(instance)

    def _is_class_variable(kind):
        if isinstance(kind, str):
            return kind.startswith(("ClassVar", "typing.ClassVar"))
        return kind is ClassVar or getattr(kind, "__origin__", None) is ClassVar

    def _state_setter(names):
        def __setstate__(self, state):
            for name in names:
                if name in state:
                    object.__setattr__(self, name, state[name])

        return __setstate__

    def _add_comparison(namespace, fields, is_frozen, cache_hash):
        compared = [each.name for each in fields if each.arguments.get("eq", True)]
        hashed = [each.name for each in fields if each.arguments.get("hash", each.arguments.get("eq", True))]
        # attrgetter returns a tuple only for several names.
        values, hashed_values = attrgetter("__class__", *compared), attrgetter("__class__", *hashed)

        def __eq__(self, other):
            if other.__class__ is not self.__class__:
                return NotImplemented
            return values(self) == values(other)

        def __hash__(self):
            return hash(hashed_values(self))

        def __cached_hash__(self):
            try:
                return self._cached_hash
            except AttributeError:
                object.__setattr__(self, "_cached_hash", hash(hashed_values(self)))
                return self._cached_hash

        namespace["__eq__"] = __eq__
        namespace["__hash__"] = (__cached_hash__ if cache_hash else __hash__) if is_frozen else None

    def _repr(self):
        parts = []
        for each in self.__record_fields__:
            form = each.arguments.get("repr", True)
            if form:
                value = getattr(self, each.name)
                parts.append(f"{each.name}={form(value) if callable(form) else repr(value)}")
        return f"{type(self).__qualname__.rpartition('>.')[2]}({', '.join(parts)})"

    def _refuse_set(self, name, value):
        _raise_frozen()

    def _refuse_delete(self, name):
        _raise_frozen()

    def _raise_frozen():
        with import_lock:
            from attrs.exceptions import FrozenInstanceError
        raise FrozenInstanceError

    class _Init:
        """`__init__` until its first use, which puts the generated function into its place."""

        def __init__(self, kw_only, is_frozen):
            self._kw_only, self._is_frozen = kw_only, is_frozen

        def __get__(self, instance, owner=None):
            # Two threads may do this at the same time: both functions do the same.
            function = _generate_init(self.owner, kw_only=self._kw_only, is_frozen=self._is_frozen)
            self.owner.__init__ = function
            return function.__get__(instance, owner)

    def _generate_init(cls, *, kw_only, is_frozen):
        names = {"NOTHING": _NOTHING}
        parameters, assignments, validations, notes = [], [], [], {}
        for each in cls.__record_fields__:
            name, alias, arguments = each.name, each.alias, each.arguments
            value, converter = alias, arguments.get("converter")
            if "factory" in arguments:
                names[f"factory_{name}"] = arguments["factory"]
                parameters.append(f"{alias}=NOTHING")
                value = f"factory_{name}() if {alias} is NOTHING else {alias}"
            elif "default" in arguments:
                names[f"default_{name}"] = arguments["default"]
                parameters.append(f"{alias}=default_{name}")
            else:
                parameters.append(alias)
            notes[alias] = each.type
            if converter is not None:
                names[f"convert_{name}"] = converter
                value = f"convert_{name}({value})"
                notes[alias] = _first_annotation(converter)
            names[f"set_{name}"] = vars(cls)[name].__set__
            assignments.append(f"set_{name}(self, {value})" if is_frozen else f"self.{name} = {value}")
            if (validator := arguments.get("validator")) is not None:
                names |= {f"validate_{name}": validator, f"field_{name}": each}
                validations.append(f"validate_{name}(self, field_{name}, self.{name})")
        steps = [*assignments, *validations]
        if hasattr(cls, "__attrs_post_init__"):
            steps.append("self.__attrs_post_init__()")
        star = ["*"] if kw_only and parameters else []
        header = f"def __init__({', '.join(['self', *star, *parameters])}):"
        exec("\n    ".join([header, *(steps or ["pass"])]), names)  # noqa: S102 - the source has names and numbers of fields only
        function = names["__init__"]
        function.__annotations__ = {**notes, "return": None}
        function.__qualname__ = f"{cls.__qualname__}.__init__"
        function.__module__ = cls.__module__
        return function

    def _first_annotation(converter):
        function = converter.__init__ if isinstance(converter, type) else converter
        return next((kind for name, kind in function.__annotations__.items() if name != "return"), Any)

    class _AttrsAttributes:
        """`__attrs_attrs__` until its first use: attrs' own description of the fields."""

        def __init__(self, kw_only):
            self._kw_only = kw_only

        def __get__(self, instance, owner=None):
            with import_lock:
                import attrs
            fields = {each.name: attrs.field(**each.arguments, type=each.type) for each in self.owner.__record_fields__}
            described = attrs.make_class(self.owner.__name__, fields, kw_only=self._kw_only, eq=False)
            self.owner.__attrs_attrs__ = described.__attrs_attrs__
            return described.__attrs_attrs__
