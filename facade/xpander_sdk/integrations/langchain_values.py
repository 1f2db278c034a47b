"""Readers of the values that LangChain passes to its callbacks. LangChain itself is not imported."""

from collections.abc import Mapping
from typing import Any

from xpander_capture.responses import summarize_response
from xpander_capture.responses.reading import child, text
from xpander_capture.results import read_result

_INPUT_KEYS = ("input", "question", "query", "prompt")
_OUTPUT_KEYS = ("output", "answer", "result", "text")


def component_name(serialized: Any, event: Mapping[str, Any]) -> str:
    """Return the name of a component."""
    name = text(event.get("name")) or text(child(serialized, "name"))
    if name is None:
        path = child(serialized, "id")
        name = str(path[-1]) if isinstance(path, list) and path else "LangChain"
    return name


def is_interrupt(error: BaseException) -> bool:
    """Return whether an exception is an interrupt; other ones of its family lead to another graph."""
    return any(kind.__name__ == "GraphInterrupt" for kind in type(error).__mro__)


def is_resumption(inputs: Any) -> bool:
    """Return whether the inputs of a graph resume it after an interrupt."""
    return inputs is None or (type(inputs).__name__ == "Command" and getattr(inputs, "resume", None) is not None)


def input_of(inputs: Any) -> Any:
    """Return the request of a run: the messages or the text in its inputs, else the inputs."""
    if type(inputs).__name__ == "Command":
        return None
    messages = child(inputs, "messages")
    if isinstance(messages, list | tuple) and messages:
        inputs = messages
    elif isinstance(inputs, dict):
        return _text_of(inputs, _INPUT_KEYS)
    if isinstance(inputs, list | tuple):  # LangChain also accepts messages as pairs of role and text
        return [
            {"role": item[0], "content": item[1]} if isinstance(item, tuple) and len(item) == 2 else item
            for item in inputs
        ]
    return inputs


def output_of(outputs: Any) -> Any:
    """Return the answer of a run: the text of its last message, the text or data in its outputs, else the outputs."""
    result = read_result(outputs)
    if result is not None:
        return result.output if result.text is None else result.text
    if outputs is None or isinstance(outputs, str):
        return outputs
    if text(child(outputs, "type")) is not None and child(outputs, "content") is not None:  # a message
        return summarize_response(outputs).text or outputs.content
    return _text_of(outputs, _OUTPUT_KEYS) if isinstance(outputs, dict) else outputs


def message_of(response: Any) -> Any:
    """Return the message of a chat model; None for a model that completes texts."""
    generations = child(response, "generations")
    first = generations[0] if generations else None
    return child(first[0], "message") if first else None


def _text_of(values: dict[Any, Any], keys: tuple[str, ...]) -> Any:
    """Return the value of the first key that is there, the only value, or all values."""
    for key in keys:
        if isinstance(values.get(key), str):
            return values[key]
    return next(iter(values.values())) if len(values) == 1 else values
