"""Results of frameworks, with the names and values of the objects that their versions of November 2026 return.

Each object has the attributes that `vars()` of the real one shows, as far as they are read. The frameworks themselves
are too large for the tests.
"""

from types import SimpleNamespace as Object
from typing import Any

USAGE = {"input_tokens": 61, "output_tokens": 17}


def instance(module: str, name: str, **attributes: Any) -> Any:
    """Return an object of a class of another module; functions become methods."""
    methods = {key: value for key, value in attributes.items() if callable(value)}
    made = type(name, (), {"__module__": module, **methods})()
    vars(made).update({key: value for key, value in attributes.items() if key not in methods})
    return made


def agno(status: str = "COMPLETED", content: Any = "Rainy, 14 C.") -> Any:
    model = {**USAGE, "cache_read_tokens": 40, "cache_write_tokens": 0, "id": "gpt-4o-mini", "provider": "OpenAI Chat"}
    metrics = Object(**USAGE, details={"model": [Object(**model)]})
    return instance(
        "agno.run.agent", "RunOutput", run_id="r", status=status, content=content, metrics=metrics,
        model="gpt-4o-mini", model_provider="OpenAI", tools=[Object(tool_name="get_weather")],
    )  # fmt: skip


def openai_agents(interruptions: Any = ()) -> Any:
    agent = Object(name="w", model="gpt-4o-mini")
    raw_item = Object(type="function_call", name="get_weather")
    return instance(
        "agents.result", "RunResult", final_output="Rainy", interruptions=list(interruptions), last_agent=agent,
        raw_responses=[Object(usage=Object(**USAGE), response_id=f"resp_{number}", output=[]) for number in (1, 2)],
        new_items=[Object(agent=agent, raw_item=raw_item), Object(agent=agent, raw_item=Object(type="message"))],
        # 10 tokens are those of an agent that was called as a tool.
        context_wrapper=Object(usage=Object(input_tokens=132, output_tokens=34)),
    )  # fmt: skip


def pydantic_ai(output: Any = "Rainy") -> Any:
    def model_response(*parts: Any) -> Any:
        usage = Object(**USAGE, cache_read_tokens=40, cache_write_tokens=0)
        return Object(kind="response", parts=list(parts), usage=usage, model_name="gpt-4o-mini",
                      provider_name="openai", provider_response_id=None, finish_reason=None)  # fmt: skip

    messages = [
        Object(kind="request", parts=[]),
        model_response(Object(part_kind="tool-call", tool_name="get_weather")),
        Object(kind="request", parts=[]),
        model_response(
            Object(part_kind="text", content="Rainy"), Object(part_kind="tool-call", tool_name="final_result")
        ),
    ]
    return instance(
        "pydantic_ai.run", "AgentRunResult", output=output, _output_tool_name="final_result",
        new_messages=lambda self: messages, all_messages=lambda self: messages * 2,
    )  # fmt: skip


def strands(stop_reason: str = "end_turn") -> Any:
    usage = {"inputTokens": 61, "outputTokens": 17, "totalTokens": 78, "cacheReadInputTokens": 40}
    cycle = Object(usage=usage)
    tool = Object(name="Tool: get_weather", metadata={"tool_name": "get_weather"}, children=[])
    traces = [Object(name="Cycle 1", metadata={}, children=[tool]), Object(name="Cycle 2", metadata={}, children=[])]
    metrics = Object(
        accumulated_usage={"inputTokens": 244, "outputTokens": 68, "totalTokens": 312},  # of two invocations
        agent_invocations=[Object(cycles=[cycle, cycle]), Object(cycles=[cycle, cycle])],
        traces=[*traces, *traces],
        tool_metrics={"get_weather": Object(call_count=2)},
    )
    message = {"role": "assistant", "content": [{"text": "Rainy"}]}
    return instance(
        "strands.agent.agent_result", "AgentResult", stop_reason=stop_reason, message=message, metrics=metrics,
        structured_output=None,
    )  # fmt: skip


def smolagents(state: str = "success") -> Any:
    steps = [
        {"tool_calls": [{"type": "function", "function": {"name": name, "arguments": {}}}]}
        for name in ("get_weather", "final_answer")
    ]
    return instance(
        "smolagents.agents", "RunResult", output="Rainy", state=state, steps=[{"task": "Weather?"}, *steps],
        token_usage=Object(input_tokens=122, output_tokens=34), timing=Object(duration=1.0),
    )  # fmt: skip


def crewai() -> Any:
    usage = Object(total_tokens=156, prompt_tokens=122, cached_prompt_tokens=80, completion_tokens=34)
    return instance("crewai.crews.crew_output", "CrewOutput", raw="Rainy", tasks_output=[], token_usage=usage)


def crewai_with_shared_model() -> Any:
    """Return a result whose sum counts the calls of an earlier kickoff, too."""
    usage = Object(prompt_tokens=244, cached_prompt_tokens=160, completion_tokens=68, successful_requests=4)
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Weather?"}, {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "rainy"}, {"role": "assistant", "content": "Rainy"},
    ]  # fmt: skip
    tasks = [Object(messages=messages)]
    return instance("crewai.crews.crew_output", "CrewOutput", raw="Rainy", tasks_output=tasks, token_usage=usage)


def crewai_agent() -> Any:
    usage = {"prompt_tokens": 122, "cached_prompt_tokens": 80, "completion_tokens": 34, "successful_requests": 2}
    return instance(
        "crewai.lite_agent_output", "LiteAgentOutput", raw="Rainy", agent_role="w", usage_metrics=usage, messages=[]
    )


def langchain_message(kind: str, content: str = "", **more: Any) -> Any:
    return instance(
        "langchain_core.messages", "Message", type=kind, content=content, additional_kwargs={}, id=None,
        **{"response_metadata": {}, "tool_calls": [], **more},
    )  # fmt: skip


def langgraph(**more: Any) -> Any:
    usage = {**USAGE, "total_tokens": 78, "input_token_details": {"cache_read": 40}}

    def answer(number: int, content: str, *tools: str) -> Any:
        metadata = {"id": f"chatcmpl-{number}", "model_name": "gpt-4o-mini", "model_provider": "openai"}
        calls = [{"name": name, "args": {}, "id": "c"} for name in tools]
        return langchain_message("ai", content, response_metadata=metadata, usage_metadata=usage, tool_calls=calls)

    history = [langchain_message("human", "Hello"), answer(0, "Hi", "greet")]
    tool = langchain_message("tool", "rainy")
    this_run = [langchain_message("human", "Weather?"), answer(1, "", "get_weather"), tool, answer(2, "Rainy")]
    return {"messages": [*history, *this_run], **more}


def haystack(exit_reason: str = "text") -> Any:
    def message(role: str, *content: Any, **meta: Any) -> Any:
        return instance("haystack.dataclasses", "ChatMessage", _role=role, _content=list(content), _meta=meta)

    meta = {"model": "gpt-4o-mini", "usage": {"prompt_tokens": 61, "completion_tokens": 17}}
    call = Object(tool_name="get_weather", arguments={}, id="c")
    last = message("assistant", Object(text="Rainy"), **meta)
    return {
        "messages": [message("user", Object(text="W?")), message("assistant", call, **meta), last],
        "step_count": 2, "token_usage": {"prompt_tokens": 122, "completion_tokens": 34},
        "tool_call_counts": {"get_weather": 1}, "exit_reason": exit_reason, "last_message": last,
    }  # fmt: skip


def autogen() -> Any:
    usage = Object(prompt_tokens=61, completion_tokens=17)
    return instance(
        "autogen_agentchat.base", "TaskResult", stop_reason=None,
        messages=[
            Object(source="user", models_usage=None, type="TextMessage", content="Weather?"),
            Object(source="w", models_usage=usage, type="ToolCallRequestEvent", content=[Object(name="get_weather")]),
            Object(source="w", models_usage=usage, type="TextMessage", content="Rainy"),
        ],
    )  # fmt: skip


def claude(**more: Any) -> Any:
    usage = {"inputTokens": 40, "outputTokens": 17, "cacheReadInputTokens": 20, "cacheCreationInputTokens": 1}
    return instance(
        "claude_agent_sdk.types", "ResultMessage",
        **{
            "subtype": "success", "is_error": False, "session_id": "s", "num_turns": 2, "result": "Rainy", "uuid": "u",
            "usage": {"input_tokens": 5, "output_tokens": 5}, "errors": None,
            "model_usage": {
                "claude-sonnet-4-5": {**usage, "costUSD": 0.02}, "claude-haiku-4-5": {**usage, "costUSD": 0.01},
            },
            **more,
        },
    )  # fmt: skip


def dspy() -> Any:
    usage = {"openai/gpt-4o-mini": {"prompt_tokens": 122, "completion_tokens": 34}}
    return instance("dspy.primitives", "Prediction", _store={"answer": "Rainy"}, get_lm_usage=lambda self: usage)
