"""Classes of `_records`: they behave as if attrs had built them."""

import copy
import inspect
import pickle
import subprocess
import sys
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpander_sdk import (
    Configuration,
    CostSummary,
    ModelCall,
    OutboxSettings,
    RetryPolicy,
    RunCounts,
    Task,
    TaskInput,
    TasksListItem,
    Timeouts,
    Tokens,
    TransportSettings,
    _records,
)
from xpander_sdk.client.destination import DestinationHealth
from xpander_sdk.settings.configuration import KeyFile

CLASSES = (
    Configuration, CostSummary, DestinationHealth, KeyFile, ModelCall, OutboxSettings, RetryPolicy, RunCounts, Task,
    TaskInput, TasksListItem, Timeouts, Tokens, TransportSettings,
)  # fmt: skip


def _at_least_zero(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value < 0:
        raise ValueError(f"{attribute.name} must not be negative, got {value}")


def _build(library: Any) -> Any:
    """Return a class with every option that the SDK uses, built by `attrs` or by `_records`."""

    class Example:
        kind: ClassVar[str] = "example"

        number: int = library.field(validator=_at_least_zero)
        text: "str | None" = library.field(default=None, converter=lambda value: value and str(value))
        items: list[int] = library.field(factory=list, hash=False)
        _secret: str = library.field(default="s", alias="key", repr=lambda _: "***", eq=False)
        _hidden: int = library.field(default=0, repr=False)
        plain: float = 1.5

        def __attrs_post_init__(self) -> None:
            if self.text == "refused":
                raise ValueError("text must not be refused")

    Example.__qualname__ = "Example"
    # The annotations of converters that state none are `Any` in one and absent in the other; no class of the SDK
    # has such a converter.
    return library.frozen(kw_only=True)(Example)


BY_ATTRS, BY_RECORDS = _build(attrs), _build(_records)
ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "number": st.integers(-2, 3),
        "text": st.none() | st.sampled_from(["a", "refused", 7]),
        "items": st.lists(st.integers(0, 1), max_size=1),
        "key": st.sampled_from(["a", "b"]),
        "hidden": st.integers(0, 1),
        "plain": st.sampled_from([1.5, 2]),
        "unknown": st.just(1),
    },
)


def _outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        return type(error), str(error)


def _observe(cls: Any, first: dict[str, Any], second: dict[str, Any]) -> list[Any]:
    one, other = _outcome(lambda: cls(**first)), _outcome(lambda: cls(**second))
    if isinstance(one, tuple) or isinstance(other, tuple):
        return [one, other] if isinstance(one, tuple) and isinstance(other, tuple) else [isinstance(one, tuple)]
    return [
        repr(one),
        attrs.asdict(one),
        one == other,
        one != other,
        one == 1,
        hash(one) == hash(cls(**first)),
        _outcome(lambda: setattr(one, "plain", 2)),
        _outcome(lambda: setattr(one, "new", 2)),
        _outcome(lambda: delattr(one, "plain")),
        repr(attrs.evolve(one, number=2)),
        copy.copy(one) == one,
        copy.deepcopy(one) == one,
        one.__getstate__(),
        cls.__match_args__,
    ]


@given(ARGUMENTS, ARGUMENTS)
def test_class_behaves_as_one_that_attrs_has_built(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert _observe(BY_RECORDS, first, second) == _observe(BY_ATTRS, first, second)


@given(ARGUMENTS.filter(lambda arguments: "number" in arguments), ARGUMENTS)
def test_evolve_gives_what_attrs_evolve_gives(arguments: dict[str, Any], changes: dict[str, Any]) -> None:
    made = _outcome(lambda: BY_RECORDS(**arguments))
    if isinstance(made, tuple):
        return
    by_attrs, by_records = (
        _outcome(lambda: attrs.evolve(made, **changes)),
        _outcome(lambda: _records.evolve(made, **changes)),
    )
    assert by_records == by_attrs


@pytest.mark.parametrize("cls", CLASSES)
def test_attrs_knows_the_fields_of_each_class(cls: Any) -> None:
    names = [attribute.name for attribute in attrs.fields(cls)]
    parameters = inspect.signature(cls).parameters
    assert names == [name for name in cls.__slots__ if name not in ("__weakref__", "_cached_hash")]
    assert {attribute.alias for attribute in attrs.fields(cls)} == parameters.keys() - {"total_tokens"}
    assert {name for name, parameter in parameters.items() if parameter.default is parameter.empty} == (
        set() if cls is Tokens else {a.alias for a in attrs.fields(cls) if a.default is attrs.NOTHING}
    )


def test_objects_of_public_classes_survive_pickle_and_have_no_other_attributes() -> None:
    for made in (Timeouts(total=3), RunCounts(1, 1, 0, 0), Tokens(prompt_tokens=3), TaskInput(text="a")):
        assert pickle.loads(pickle.dumps(made)) == made
        assert weakref.ref(made)() is made
        assert not hasattr(made, "__dict__")
    with pytest.raises(AttributeError):
        Tokens().promt_tokens = 3  # type: ignore[attr-defined]


def test_subclass_that_attrs_decorates_has_all_fields() -> None:
    @attrs.frozen(kw_only=True)
    class Limits(Timeouts):
        idle: float = 1.0

    assert Limits(total=3).total == 3
    assert attrs.evolve(Limits(total=3), idle=2.0) == Limits(total=3, idle=2.0)


def test_import_of_the_package_does_not_import_attrs() -> None:
    program = "import sys, xpander_sdk; xpander_sdk.Configuration(); print([m for m in sys.modules if m[:4] == 'attr'])"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"
