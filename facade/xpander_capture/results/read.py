"""Readers of results, one for each framework.

Sums that are not those of the run:

    strands        `accumulated_usage` and `tool_metrics` count all invocations of the agent: the last one is read
    LangGraph      `messages` has the whole conversation: the messages after the last one of the user are read
    haystack       `messages` begins with those that the caller passed: read as above, if the sum is that of the run
    CrewAI         `token_usage` counts all kickoffs with a model object, and an object that several agents share once
                   for each of them: it is read unless it has more requests than the messages of the tasks show
    OpenAI Agents  `raw_responses` lacks the calls of agents that were used as tools: they are the rest of the total
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import chain, repeat
from typing import Any

from xpander_capture.responses import ResponseSummary, summarize_response
from xpander_capture.responses.reading import at, child, count, items, text
from xpander_capture.results.reading import MAX_TOOLS, call_method, has, summary_of, total
from xpander_capture.results.summary import ResultSummary


def read_result(value: Any) -> ResultSummary | None:
    """Return what the result of a framework states; None if it is no result of a known framework.

    Never raises: the properties of the caller's objects may.

    Args:
        value: Result of pydantic-ai, agno, OpenAI Agents, strands, smolagents, CrewAI, LangChain, LangGraph, haystack,
            autogen, Claude Agent SDK or DSPy: an object, or its dict.
    """
    if value is None or isinstance(value, str | bytes | int | float | list | tuple | type):
        return None
    return next((summary for reader in _READERS if (summary := _read(reader, value)) is not None), None)


def _read(reader: Callable[[Any], ResultSummary | None], value: Any) -> ResultSummary | None:
    try:
        return reader(value)
    except Exception:  # the caller's object failed
        return None


def _read_agno(run: Any) -> ResultSummary | None:
    if not has(run, "run_id", "status", "content", "metrics"):
        return None
    status = (text(child(run, "status")) or "").upper()
    content = child(run, "content")
    provider, model = text(child(run, "model_provider")), text(child(run, "model"))
    metrics = child(run, "metrics")
    details = child(metrics, "details")
    summaries = [
        summary_of(
            each, provider=text(child(each, "provider")) or provider, model=text(child(each, "id")) or model
        )
        for each in chain.from_iterable(items(group) for group in details.values())
    ] if isinstance(details, dict) else []  # fmt: skip
    if not any(summaries):
        summaries = [summary_of(metrics, provider=provider, model=model)]
    error = None
    if status in ("ERROR", "CANCELLED"):
        error = text(content) or f"the run has the status {status}"
    return ResultSummary(
        output=None if error else content,
        summaries=_known(summaries),
        tool_names=_names(items(child(run, "tools")), "tool_name"),
        error=error,
        is_paused=status == "PAUSED",
    )


def _read_openai_agents(result: Any) -> ResultSummary | None:
    if not has(result, "final_output", "raw_responses", "new_items"):
        return None
    model = _only_model(result)
    summaries = list(
        _known(
            summary_of(child(each, "usage"), model=model, response_id=text(child(each, "response_id")))
            for each in items(child(result, "raw_responses"))
        )
    )
    rest = _rest(at(result, "context_wrapper.usage"), summaries)
    raw_items = (child(item, "raw_item") for item in items(child(result, "new_items")))
    return ResultSummary(
        output=child(result, "final_output"),
        summaries=(*summaries, *_known([rest])),
        tool_names=tuple(filter(None, map(_openai_tool, raw_items)))[:MAX_TOOLS],
        is_paused=bool(items(child(result, "interruptions"))),
    )


def _only_model(result: Any) -> str | None:
    """Return the model of the agents of a run, if all have the same; None otherwise."""
    agents = [child(item, "agent") for item in items(child(result, "new_items"))]
    models = {
        text(child(agent, "model")) or text(at(agent, "model.model"))
        for agent in [*agents, child(result, "last_agent")]
        if agent is not None
    }
    return models.pop() if len(models) == 1 else None


def _openai_tool(item: Any) -> str | None:
    kind = text(child(item, "type")) or ""
    if not kind.endswith("_call"):
        return None
    return text(child(item, "name")) or kind.removesuffix("_call")


def _rest(usage: Any, summaries: list[ResponseSummary]) -> ResponseSummary | None:
    """Return the part of a run's usage that its calls do not contain."""
    whole = summary_of(usage)
    if whole is None or whole.tokens is None:
        return None
    tokens = {kind: number - total(summaries, kind) for kind, number in whole.tokens.items()}
    return (
        replace(whole, tokens=tokens)
        if all(number >= 0 for number in tokens.values()) and any(tokens.values())
        else None
    )


def _read_pydantic_ai(result: Any) -> ResultSummary | None:
    messages = call_method(result, "new_messages", "pydantic_ai")
    if messages is None:
        return None
    summaries = [
        summarize_response(message) for message in items(messages) if text(child(message, "kind")) == "response"
    ]
    output = child(result, "output")
    output_tool = text(child(result, "_output_tool_name"))
    names = [name for summary in summaries for name in summary.tool_names if name != output_tool]
    if output is None and summaries:
        output = summaries[-1].text
    is_paused = type(output).__name__ == "DeferredToolRequests"
    return ResultSummary(
        output=None if is_paused else output,
        summaries=tuple(summary for summary in summaries if summary.tokens),
        tool_names=tuple(names),
        is_paused=is_paused,
    )


_STRANDS_FAILURES = ("cancelled", "content_filtered", "guardrail_intervened", "max_tokens")


def _read_strands(result: Any) -> ResultSummary | None:
    metrics = child(result, "metrics")
    if child(metrics, "accumulated_usage") is None or not has(result, "stop_reason", "message"):
        return None
    invocations = items(child(metrics, "agent_invocations"))
    cycles = items(child(invocations[-1], "cycles")) if invocations else []
    summaries = [_strands_summary(child(cycle, "usage")) for cycle in cycles]
    if not any(summaries):
        summaries = [_strands_summary(child(metrics, "accumulated_usage"))]
    traces = items(child(metrics, "traces"))[-len(cycles) :] if cycles else []
    names = [
        text(at(trace, "metadata.tool_name"))
        for each in traces
        for trace in items(child(each, "children"))
        if (text(child(trace, "name")) or "").startswith("Tool: ")
    ]
    if not traces and len(invocations) <= 1:
        tools = child(metrics, "tool_metrics")
        calls = tools.items() if isinstance(tools, dict) else ()
        names = [name for name, tool in calls for _ in range(min(count(child(tool, "call_count")) or 0, MAX_TOOLS))]
    reason = text(child(result, "stop_reason")) or ""
    is_failure = reason in _STRANDS_FAILURES or reason.startswith("limit_")
    return ResultSummary(
        output=child(result, "structured_output") or summarize_text(child(result, "message")),
        summaries=_known(summaries),
        tool_names=tuple(filter(None, names)),
        error=f"the run stopped: {reason}" if is_failure else None,
        is_paused=reason in ("interrupt", "checkpoint"),
    )


def _strands_summary(usage: Any) -> ResponseSummary | None:
    summary = summary_of(usage)
    if summary is None or summary.tokens is None or summary.is_cache_included is None:
        return summary
    # The names are Bedrock's, whose input lacks the cached tokens; for other providers it contains them.
    tokens = summary.tokens
    plain = tokens.get("prompt_tokens", 0) + tokens.get("completion_tokens", 0)
    return replace(summary, is_cache_included=count(child(usage, "total_tokens")) == plain)


def _read_smolagents(result: Any) -> ResultSummary | None:
    state = text(child(result, "state"))
    if state is None or not has(result, "output", "steps", "token_usage", "timing"):
        return None
    calls = chain.from_iterable(items(child(step, "tool_calls")) for step in items(child(result, "steps")))
    names = [text(at(call, "function.name")) or text(child(call, "name")) for call in calls]
    return ResultSummary(
        output=child(result, "output"),
        summaries=_known([summary_of(child(result, "token_usage"))]),
        tool_names=tuple(name for name in names if name and name != "final_answer")[:MAX_TOOLS],
        error=None if state == "success" else f"the run ended in the state {state}",
    )


def _read_crewai(output: Any) -> ResultSummary | None:
    if has(output, "raw", "agent_role", "usage_metrics"):  # of an agent without crew: the usage of this run
        usage, messages = child(output, "usage_metrics"), items(child(output, "messages"))
    elif has(output, "raw", "tasks_output", "token_usage"):
        usage = child(output, "token_usage")
        messages = [
            message for task in items(child(output, "tasks_output")) for message in items(child(task, "messages"))
        ]
        answers = sum(text(child(message, "role")) == "assistant" for message in messages)
        if answers and (count(child(usage, "successful_requests")) or 0) > answers:
            usage = None  # it has calls that are not those of the run
    else:
        return None
    calls = chain.from_iterable(items(child(message, "tool_calls")) for message in messages)
    return ResultSummary(
        output=child(output, "raw"),
        summaries=_known([summary_of(usage)]),
        tool_names=_names((child(call, "function") for call in calls), "name"),
    )


def _read_langgraph(output: Any) -> ResultSummary | None:
    if child(output, "interrupts") is not None and has(output, "value"):  # GraphOutput of LangGraph 2
        inner = _read_langgraph(child(output, "value")) or ResultSummary()
        return replace(inner, is_paused=bool(items(child(output, "interrupts"))))
    if not isinstance(output, dict):
        return None
    is_paused = bool(output.get("__interrupt__"))
    messages = items(output.get("messages"))
    if not any(_is_langchain_message(message) for message in messages):
        return ResultSummary(is_paused=True) if is_paused else _read_agent_executor(output)
    latest = _after_user(messages, lambda message: text(child(message, "type")) in ("human", "HumanMessage"))
    answers = [message for message in latest if text(child(message, "type")) in ("ai", "AIMessage")]
    summaries = [summarize_response(message) for message in answers]
    return ResultSummary(
        output=output.get("structured_response") or (summaries[-1].text if summaries else None),
        summaries=tuple(summary for summary in summaries if summary.tokens),
        tool_names=tuple(name for summary in summaries for name in summary.tool_names),
        is_paused=is_paused,
    )


def _is_langchain_message(message: Any) -> bool:
    return text(child(message, "type")) is not None and has(message, "content", "additional_kwargs")


def _read_agent_executor(output: dict[Any, Any]) -> ResultSummary | None:
    if "output" not in output or "intermediate_steps" not in output:
        return None
    actions = (step[0] for step in items(output["intermediate_steps"]) if isinstance(step, list | tuple) and step)
    return ResultSummary(output=output["output"], tool_names=_names(actions, "tool"))


def _read_haystack(output: Any) -> ResultSummary | None:
    if not isinstance(output, dict) or "last_message" not in output or "messages" not in output:
        return None
    messages = items(output["messages"])
    latest = _after_user(messages, lambda message: text(child(message, "_role")) == "user")
    summaries = [summary for summary in map(summarize_response, latest) if summary.tokens]
    model = next((summary.model for summary in reversed(summaries) if summary.model), None)
    whole = summary_of(output.get("token_usage"), model=model)
    if whole is not None and whole.tokens is not None:
        kinds = ("prompt_tokens", "completion_tokens")
        if any(total(summaries, kind) != whole.tokens.get(kind, 0) for kind in kinds):
            summaries = [whole]
    counts = output.get("tool_call_counts")
    calls = counts.items() if isinstance(counts, dict) else ()
    reason = text(output.get("exit_reason")) or ""
    is_failure = reason.startswith("max_") or reason in ("length", "content_filter")
    return ResultSummary(
        output=summarize_text(output["last_message"]),
        summaries=tuple(summaries),
        tool_names=tuple(
            name
            for name, number in calls
            if isinstance(name, str)
            for _ in repeat(None, min(count(number) or 0, MAX_TOOLS))
        ),
        error=f"the run stopped: {reason}" if is_failure else None,
    )


def _read_autogen(result: Any) -> ResultSummary | None:
    messages = items(child(result, "messages"))
    if not has(result, "stop_reason") or not any(has(message, "models_usage", "source") for message in messages):
        return None
    calls = chain.from_iterable(
        items(child(message, "content"))
        for message in messages
        if text(child(message, "type")) == "ToolCallRequestEvent"
    )
    answers = [message for message in messages if text(child(message, "source")) != "user"]
    return ResultSummary(
        output=child(answers[-1], "content") if answers else None,
        summaries=_known(summary_of(child(message, "models_usage")) for message in messages),
        tool_names=_names(calls, "name"),
    )


def _read_claude(message: Any) -> ResultSummary | None:
    if not has(message, "is_error", "subtype", "session_id", "num_turns"):
        return None
    # `usage` counts the main agent only, `model_usage` its sub-agents as well.
    models = child(message, "model_usage")
    run_id = text(child(message, "uuid"))
    summaries, costs = [], []
    for model, usage in models.items() if isinstance(models, dict) else ():
        summary = summary_of(
            _claude_usage(usage),
            provider="anthropic",
            model=text(model),
            response_id=None if run_id is None else f"{run_id}:{model}",
        )
        if summary is not None:
            summaries.append(summary)
            cost = child(usage, "cost_usd") or child(usage, "costUSD")
            costs.append(float(cost) if isinstance(cost, int | float) and not isinstance(cost, bool) else None)
    if not summaries:
        summaries = list(_known([summary_of(child(message, "usage"), provider="anthropic", response_id=run_id)]))
    subtype = text(child(message, "subtype")) or ""
    error = None
    if child(message, "is_error") is True or subtype.startswith("error"):
        reasons = [reason for reason in items(child(message, "errors")) if isinstance(reason, str)]
        error = "; ".join(reasons) or text(child(message, "result")) or f"the run ended with {subtype}"
    return ResultSummary(
        output=None if error else child(message, "result"), summaries=tuple(summaries), costs=tuple(costs), error=error
    )


def _claude_usage(usage: Any) -> dict[str, Any]:
    return {
        "input_tokens": child(usage, "input_tokens"),
        "output_tokens": child(usage, "output_tokens"),
        "cache_read_input_tokens": child(usage, "cache_read_input_tokens") or 0,
        "cache_creation_input_tokens": child(usage, "cache_creation_input_tokens") or 0,
    }


def _read_dspy(prediction: Any) -> ResultSummary | None:
    models = call_method(prediction, "get_lm_usage", "dspy")
    if models is None and not type(prediction).__module__.startswith("dspy."):
        return None
    summaries = [summary_of(usage, model=text(model)) for model, usage in (models or {}).items()]
    return ResultSummary(output=child(prediction, "_store"), summaries=_known(summaries))


_READERS: tuple[Callable[[Any], ResultSummary | None], ...] = (
    _read_agno,
    _read_openai_agents,
    _read_pydantic_ai,
    _read_strands,
    _read_smolagents,
    _read_crewai,
    _read_claude,
    _read_haystack,
    _read_autogen,
    _read_dspy,
    _read_langgraph,
)


def called_tools(message: Any) -> list[str]:
    """Return the names of the tools that a message of the Claude Agent SDK calls."""
    blocks = items(child(message, "content"))
    return [name for block in blocks if (name := text(child(block, "name"))) and has(block, "input", "id")]


def summarize_text(message: Any) -> str | None:
    """Return the text of a framework's message."""
    return summarize_response(message).text or next(
        (
            part_text
            for part in items(child(message, "content")) or items(child(message, "_content"))
            if (part_text := text(child(part, "text")))
        ),
        None,
    )


def _after_user(messages: list[Any], is_user: Callable[[Any], bool]) -> list[Any]:
    """Return the messages after the last one of the user: those of this run."""
    for index in range(len(messages) - 1, -1, -1):
        if is_user(messages[index]):
            return messages[index + 1 :]
    return messages


def _known(summaries: Iterable[ResponseSummary | None]) -> tuple[ResponseSummary, ...]:
    return tuple(summary for summary in summaries if summary is not None)


def _names(calls: Iterable[Any], name: str) -> tuple[str, ...]:
    return tuple(tool for call in calls if (tool := text(child(call, name))))[:MAX_TOOLS]
