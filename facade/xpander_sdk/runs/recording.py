"""Reading of what a run records: results of frameworks, responses of providers, and streams."""

from dataclasses import replace
from itertools import zip_longest
from typing import Any, NamedTuple

from xpander_capture.responses import ResponseSummary, accumulate_stream, summarize_response
from xpander_capture.results import ResultSummary, called_tools, read_result

_MAX_NAME = 255  # characters that the API accepts for a provider, a model and a response id
_MAX_ERROR = 16_000


class Recorded(NamedTuple):
    """Facts that one response or result states about the run.

    Attributes:
        calls: Entries of the report's `calls`.
        tool_names: Names of the called tools.
        text: Text of the answer.
        error: Reason why the result is a failure; None if it is none.
        is_paused: Whether the run waits for a person or another program.
        is_result: Whether this is the result of a whole run of a framework, and not one response.
        response: The provider's response, as the report's `llm_response`; None for a framework's result, whose objects
            may contain clients and keys.
        output: The answer of a framework's result: text or data.
    """

    calls: tuple[dict[str, Any], ...] = ()
    tool_names: tuple[str, ...] = ()
    text: str | None = None
    error: str | None = None
    is_paused: bool = False
    is_result: bool = False
    response: Any = None
    output: Any = None


def read(value: Any, provider: str | None = None, model: str | None = None) -> Recorded | None:
    """Return what a result or response states; None if nothing is known about it.

    Args:
        value: Result of a framework, response of a provider, or a list of responses.
        provider: Name of the provider, as the program states it.
        model: Name of the model, as the program states it.
    """
    result = read_result(value)
    if result is not None:
        return _from_result(result, provider, model)
    summary = summarize_response(value, provider, model)
    if summary == summarize_response(None, provider, model):
        return None
    return Recorded(
        calls=tuple(_calls(summary)),
        tool_names=summary.tool_names,
        text=summary.text,
        error=summary.error,
        response=value,
    )


def read_stream(chunks: list[Any], provider: str | None = None, model: str | None = None) -> Recorded | None:
    """Return what the chunks of a stream state together.

    Args:
        chunks: Chunks in order; the end may be missing.
        provider: Name of the provider, as the program states it.
        model: Name of the model, as the program states it.
    """
    last = read_result(chunks[-1]) if chunks else None
    if last is not None:  # the messages of a run, of which the last one is its result (Claude Agent SDK)
        names = (name for chunk in chunks[:-1] for name in called_tools(chunk))
        return _from_result(replace(last, tool_names=(*names, *last.tool_names)), provider, model)
    whole = accumulate_stream(chunks)
    return None if whole is None else read(whole, provider, model)


def _from_result(result: ResultSummary, provider: str | None, model: str | None) -> Recorded:
    calls = [
        {**call, **({} if cost is None else {"cost": cost})}
        for summary, cost in zip_longest(result.summaries, result.costs)
        for call in _calls(replace(summary, provider=summary.provider or provider, model=summary.model or model))
    ]
    return Recorded(
        calls=tuple(calls),
        tool_names=result.tool_names,
        text=result.text,
        error=result.error,
        is_paused=result.is_paused,
        is_result=True,
        output=result.output,
    )


def _calls(summary: ResponseSummary) -> list[dict[str, Any]]:
    """Return the calls of a summary as entries of the report's `calls`, without empty ones."""
    if summary.calls:
        return [call for one in summary.calls for call in _calls(one)]
    accepted = replace(
        summary,
        provider=_name(summary.provider),
        model=_name(summary.model),
        response_id=_name(summary.response_id),
        tokens=summary.tokens or None,
        error=summary.error[:_MAX_ERROR] if summary.error else None,
    )
    call = accepted.to_call()
    return [call] if call.keys() & {"response_id", "tokens", "error"} else []


def _name(value: str | None) -> str | None:
    """Return a name that the API accepts, or None."""
    return value if value and len(value) <= _MAX_NAME and value.isprintable() else None
