"""Messages and results of frameworks that keep a provider's counts in an object of their own.

Sources:
    - https://python.langchain.com/api_reference/core/messages/langchain_core.messages.ai.AIMessage.html
    - https://python.langchain.com/api_reference/core/outputs/langchain_core.outputs.llm_result.LLMResult.html
    - https://ai.pydantic.dev/api/messages/#pydantic_ai.messages.ModelResponse
    - https://ai-sdk.dev/docs/reference/ai-sdk-core/generate-text (Vercel)
    - https://docs.haystack.deepset.ai/docs/chatmessage
"""

from typing import Any

from xpander_capture.responses.draft import Draft
from xpander_capture.responses.reading import at, child, items, join, text, texts


def read(response: Any) -> Draft | None:
    """Return the parts of a framework's message or result; None for another shape."""
    for reader in (_read_langchain, _read_llm_result, _read_pydantic_ai, _read_vercel, _read_haystack):
        draft = reader(response)
        if draft is not None:
            return draft
    return None


def _read_langchain(message: Any) -> Draft | None:
    metadata = child(message, "response_metadata")
    usage = child(message, "usage_metadata")
    if metadata is None and (usage is None or child(usage, "input_tokens") is None):
        return None
    response_id = text(child(metadata, "id")) or text(child(message, "id"))
    if response_id is not None and response_id.startswith(("run-", "lc_run-")):
        response_id = None  # LangChain's own id
    draft = Draft(
        api="langchain",
        provider=text(child(metadata, "model_provider")),
        model=text(child(metadata, "model_name"))
        or text(child(metadata, "model"))
        or text(child(metadata, "model_id")),
        response_id=response_id,
        usage=usage or child(metadata, "token_usage") or child(metadata, "usage"),
        text=join(list(texts(child(message, "content")))),
        status=text(child(metadata, "finish_reason")) or text(child(metadata, "stop_reason")),
    )
    for call in items(child(message, "tool_calls")):
        if name := text(child(call, "name")):
            draft.tool_names.append(name)
    return draft


def _read_llm_result(result: Any) -> Draft | None:
    generations = items(child(result, "generations"))
    if not generations:
        return None
    first = items(generations[0])[0] if items(generations[0]) else generations[0]
    output = child(result, "llm_output")
    message = child(first, "message")
    inner = child(message, "kwargs") or message
    draft = _read_langchain(inner) or Draft(api="langchain", text=text(child(first, "text")))
    if draft.usage is None:
        draft.usage = child(output, "token_usage") or child(output, "usage")
    draft.model = draft.model or text(child(output, "model_name")) or text(child(output, "model"))
    draft.text = draft.text or text(child(first, "text"))
    return draft


def _read_pydantic_ai(response: Any) -> Draft | None:
    parts = child(response, "parts")
    if not isinstance(parts, list | tuple) or text(child(response, "kind")) != "response":
        return None
    draft = Draft(
        api="pydantic-ai",
        provider=text(child(response, "provider_name")),
        model=text(child(response, "model_name")),
        response_id=text(child(response, "provider_response_id")) or text(child(response, "vendor_id")),
        usage=child(response, "usage"),
        status=text(child(response, "finish_reason")),
    )
    answers: list[str] = []
    for part in items(parts):
        kind = text(child(part, "part_kind")) or ""
        if kind == "text" and (part_text := text(child(part, "content"))):
            answers.append(part_text)
        elif kind.endswith("tool-call") and (name := text(child(part, "tool_name"))):
            draft.tool_names.append(name)
    draft.text = join(answers)
    return draft


def _read_vercel(result: Any) -> Draft | None:
    model = text(at(result, "response.model_id"))
    if model is None or child(result, "usage") is None:
        return None
    draft = Draft(
        api="vercel",
        model=model,
        response_id=text(at(result, "response.id")),
        usage=child(result, "usage"),
        text=text(child(result, "text")),
        status=text(child(result, "finish_reason")),
    )
    for call in items(child(result, "tool_calls")):
        if name := text(child(call, "tool_name")):
            draft.tool_names.append(name)
    return draft


def _read_haystack(message: Any) -> Draft | None:
    meta = child(message, "meta") or child(message, "_meta")
    if meta is None or child(meta, "usage") is None:
        return None
    content = child(message, "content") or child(message, "_content")
    draft = Draft(
        api="haystack",
        model=text(child(meta, "model")),
        response_id=text(child(meta, "id")),
        usage=child(meta, "usage"),
        text=join(list(texts(content))),
        status=text(child(meta, "finish_reason")),
    )
    for part in items(content):
        if name := text(at(part, "tool_call.tool_name")) or text(child(part, "tool_name")):
            draft.tool_names.append(name)
    return draft
