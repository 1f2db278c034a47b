"""Model calls of a run: their normal form, their tokens and their costs.

A report lists the calls of language models that a run made. Two instrumentations of one program may report the same
call; the provider's id of the response tells that it is one:

    reported     {"response_id": "r1", "model": "gpt-4o", "tokens": {"prompt_tokens": 9}}
                 {"response_id": "r1", "duration": 2}
    stored       {"response_id": "r1", "model": "gpt-4o", "tokens": {"prompt_tokens": 9}, "duration": 2.0}

The tokens of a run that reports none are the sum of its calls. A run that reports tokens and a single call without
tokens made that call with the tokens of the run.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from xpander_server.domain.pricing import NANODOLLARS, NO_OWN_PRICES, OwnPrices, compute_cost, sum_costs

TOKEN_KINDS: tuple[str, ...] = ("completion_tokens", "prompt_tokens", "cache_read_tokens", "cache_write_tokens")
"""Kinds of tokens that runs and calls count. Calls may report further kinds, which are stored only."""

Call = dict[str, Any]
"""One call in the form of the contract's `ModelCall`, without null values."""


class ModelUsage(NamedTuple):
    """Usage of one model by one run."""

    total_tokens: int
    cost: int | None
    """Nano-dollars; None if the cost of a call is not known."""


def normalize_calls(reported: Sequence[Mapping[str, Any]]) -> list[Call]:
    """Return the reported calls without null values, and with one entry for each `response_id`."""
    calls: list[Call] = []
    by_response_id: dict[str, Call] = {}
    for entry in reported:
        call = {name: _normalize(name, value) for name, value in entry.items() if value is not None}
        response_id = call.get("response_id")
        if response_id in by_response_id:
            by_response_id[response_id].update(call)
            continue
        if response_id is not None:
            by_response_id[response_id] = call
        calls.append(call)
    return calls


def _normalize(name: str, value: Any) -> Any:
    if name == "tokens":
        # int(): JSON Schema accepts 17046.0 as an integer.
        return {kind: int(count) for kind, count in value.items() if count is not None}
    return float(value) if name in ("duration", "cost") else value


def complete_tokens(reported: Mapping[str, int | float | None]) -> dict[str, int]:
    """Return the count of each of `TOKEN_KINDS`; one that was not reported is 0."""
    return {kind: int(reported.get(kind) or 0) for kind in TOKEN_KINDS}


def sum_tokens(calls: Sequence[Call]) -> dict[str, int] | None:
    """Return the sum of the tokens of some calls; None if no call has any. Negative counts are unknown, and count 0."""
    counted = [complete_tokens(call["tokens"]) for call in calls if call.get("tokens")]
    if not counted:
        return None
    return {kind: sum(max(0, tokens[kind]) for tokens in counted) for kind in TOKEN_KINDS}


def total_tokens(tokens: Mapping[str, int]) -> int:
    """Return the sum of completion and prompt tokens. Cached tokens are not added."""
    return tokens["completion_tokens"] + tokens["prompt_tokens"]


def compute_call_costs(
    calls: Sequence[Call], run_tokens: Mapping[str, int] | None, at: int, own_prices: OwnPrices = NO_OWN_PRICES
) -> list[int | None]:
    """Return the cost of each call in nano-dollars; None for a call with an unknown cost.

    Args:
        calls: The calls of a run.
        run_tokens: The tokens that the run reports; those of a single call without tokens.
        at: The time of the run, in microseconds since 1970; the prices of that time apply.
        own_prices: Prices of the organization, which take precedence.
    """
    return [_call_cost(call, _call_tokens(calls, call, run_tokens), at, own_prices) for call in calls]


def usage_by_model(
    calls: Sequence[Call], costs: Sequence[int | None], run_tokens: Mapping[str, int] | None
) -> dict[str, ModelUsage]:
    """Return the usage of each model that a run called, in the order of the calls. Calls without a model are left out.

    Args:
        calls: The calls of the run.
        costs: The cost of each call.
        run_tokens: The tokens that the run reports; those of a single call without tokens.
    """
    costs_by_model: dict[str, list[int | None]] = {}
    tokens_by_model: dict[str, int] = {}
    for call, cost in zip(calls, costs, strict=True):
        model = call.get("model")
        if model is not None:
            tokens = complete_tokens(_call_tokens(calls, call, run_tokens) or {})
            counted = total_tokens({kind: max(0, count) for kind, count in tokens.items()})
            costs_by_model.setdefault(model, []).append(cost)
            tokens_by_model[model] = tokens_by_model.get(model, 0) + counted
    return {model: ModelUsage(tokens_by_model[model], sum_costs(costs)) for model, costs in costs_by_model.items()}


def main_model(usage: Mapping[str, ModelUsage]) -> str | None:
    """Return the model with the most tokens, of several the one that was called first; None without models."""
    return max(usage, key=lambda model: usage[model].total_tokens, default=None)


def _call_tokens(calls: Sequence[Call], call: Call, run_tokens: Mapping[str, int] | None) -> Mapping[str, int] | None:
    tokens: Mapping[str, int] | None = call.get("tokens")
    return run_tokens if not tokens and len(calls) == 1 else tokens


def _call_cost(call: Call, tokens: Mapping[str, int] | None, at: int, own_prices: OwnPrices) -> int | None:
    if (cost := call.get("cost")) is not None:
        nanodollars: int = round(cost * NANODOLLARS)
        return nanodollars
    if not tokens:
        # Providers do not charge for a call that failed before the model generated anything.
        return 0 if "error" in call else None
    return compute_cost(
        call.get("model"),
        tokens,
        at=at,
        provider=call.get("provider"),
        is_cache_included=call.get("prompt_includes_cache"),
        own_prices=own_prices,
    )
