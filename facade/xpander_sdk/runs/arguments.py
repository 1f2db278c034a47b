"""Selection of a run's input from the arguments of a decorated function."""

import inspect
import re
from collections.abc import Callable
from typing import Any

InputReader = Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]

# Usual names of the argument that is the request to an agent.
_INPUT_NAMES = ("input", "question", "prompt", "query", "message", "messages", "user_input", "text", "task")
# Names of arguments whose text is no request: credentials, ids and addresses.
_NO_INPUT = re.compile(
    r"key|token|secret|passw|credential|auth|cookie|session|url|uri|path|file|model|(^|_)ids?$|name$", re.IGNORECASE
)


def input_reader(function: Callable[..., Any]) -> InputReader:
    """Return a function that selects the input of a call.

    Its arguments are the stated input, the positional and the named arguments of the call. A stated input that can be
    called is called with the arguments. Without one, the input is the argument with a usual name (`question`, `prompt`,
    `messages`, …), else the first text whose name does not suggest a credential, an id or an address. Other arguments
    are never recorded: they may contain secrets, clients and large objects.

    Args:
        function: The decorated function.
    """
    try:
        signature: inspect.Signature | None = inspect.signature(function)
    except (ValueError, TypeError):  # a function of an extension module
        signature = None

    def read(stated: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if callable(stated):
            return stated(*positional, **named)
        if stated is not None or signature is None:
            return stated
        try:
            values = signature.bind_partial(*positional, **named).arguments
        except TypeError:  # the call fails in the function itself
            return None
        for name in _INPUT_NAMES:
            if isinstance(values.get(name), str | list | tuple):
                return values[name]
        texts = (value for name, value in values.items() if isinstance(value, str) and not _NO_INPUT.search(name))
        return next(texts, None)

    return read
