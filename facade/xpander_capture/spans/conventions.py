"""Attributes of the conventions and libraries that describe runs of agents, as data.

Each `Convention` names its source, and the attributes from which a fact is read. `merge` puts them together: the first
attribute with a value counts, in the order of `CONVENTIONS`. An attribute with JSON inside is written with the path to
the value:

    "metadata/lc_agent_name"        the key lc_agent_name of the JSON text of the attribute `metadata`
    "crew_tasks/0/description"      the key description of the first item of a list

To read another library, add a row to `CONVENTIONS`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from xpander_capture.spans.span import Kind

Names = tuple[str, ...]

PROMPT, COMPLETION = "prompt_tokens", "completion_tokens"
CACHE_READ, CACHE_WRITE, REASONING = "cache_read_tokens", "cache_write_tokens", "reasoning_tokens"
USAGE_KINDS = (PROMPT, COMPLETION, CACHE_READ, CACHE_WRITE, REASONING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention:
    """Attributes of one convention.

    Attributes:
        name: Name of the convention or library.
        source: Where it is described.
        kinds: For an attribute, the kind of span that each of its values (in lower case) stands for.
        marks: Attributes whose presence tells the kind of a span, whatever `kinds` say.
        hints: Attributes whose presence tells the kind of a span for which `kinds` say nothing.
        prefixes: Prefixes of attributes that only spans of agent frameworks have.
        agent, workflow, tool: Names of the agent, of a workflow of agents, and of a tool.
        inputs, outputs: Attributes with a text, a message or messages; a `*` stands for the numbers of an indexed list.
        texts: Attributes of `outputs` that are texts as they are, also if they look like JSON.
        has_json_texts: Whether texts are written as JSON, with quotation marks around them.
        provider, model, response_id, cost: Facts about a model call.
        usage: For each kind of tokens, its counts.
        user, conversation: Ids.
    """

    name: str
    source: str
    kinds: Mapping[str, Mapping[str, Kind]] = field(default_factory=dict)
    marks: Mapping[Names, Kind] = field(default_factory=dict)
    hints: Mapping[Names, Kind] = field(default_factory=dict)
    prefixes: Names = ()
    agent: Names = ()
    workflow: Names = ()
    tool: Names = ()
    inputs: Names = ()
    outputs: Names = ()
    texts: Names = ()
    has_json_texts: bool = False
    provider: Names = ()
    model: Names = ()
    response_id: Names = ()
    cost: Names = ()
    usage: Mapping[str, Names] = field(default_factory=dict)
    user: Names = ()
    conversation: Names = ()


CONVENTIONS: tuple[Convention, ...] = (
    Convention(
        name="pydantic-ai, versions 1 and 2 of its spans",
        source="https://ai.pydantic.dev/logfire/",
        # Version 1 has no gen_ai.operation.name on the spans of agents and tools.
        marks={
            ("agent_name", "model_name"): "agent",
            ("all_messages_events",): "agent",
            ("pydantic_ai.all_messages",): "agent",
        },
        hints={("gen_ai.tool.name",): "tool"},
        prefixes=("pydantic_ai.",),
        agent=("agent_name",),
        inputs=("pydantic_ai.all_messages", "all_messages_events", "events"),
        outputs=("final_result", "pydantic_ai.all_messages", "all_messages_events", "events"),
        texts=("final_result",),
        cost=("operation.cost",),
        usage={
            PROMPT: ("gen_ai.aggregated_usage.input_tokens",),
            COMPLETION: ("gen_ai.aggregated_usage.output_tokens",),
            CACHE_READ: (
                "gen_ai.aggregated_usage.cache_read.input_tokens",
                "gen_ai.aggregated_usage.details.cache_read_tokens",
            ),
            CACHE_WRITE: (
                "gen_ai.aggregated_usage.cache_creation.input_tokens",
                "gen_ai.aggregated_usage.details.cache_write_tokens",
            ),
            REASONING: ("gen_ai.aggregated_usage.details.reasoning_tokens",),
        },
    ),
    Convention(
        name="GenAI semantic conventions, old and new",
        source="https://opentelemetry.io/docs/specs/semconv/gen-ai/",
        kinds={
            "gen_ai.operation.name": {
                "invoke_agent": "agent",
                "invoke_workflow": "agent",
                "chat": "model",
                "generate_content": "model",
                "text_completion": "model",
                "embeddings": "embedding",
                "execute_tool": "tool",
                "create_agent": "step",
            }
        },
        prefixes=("gen_ai.",),
        agent=("gen_ai.agent.id", "gen_ai.agent.name"),
        workflow=("gen_ai.workflow.name",),
        hints={("gen_ai.request.model",): "model", ("gen_ai.response.model",): "model"},
        tool=("gen_ai.tool.name",),
        inputs=("gen_ai.input.messages",),
        outputs=("gen_ai.output.messages",),
        provider=("gen_ai.provider.name", "gen_ai.system"),
        model=("gen_ai.response.model", "gen_ai.request.model"),
        response_id=("gen_ai.response.id",),
        cost=("gen_ai.usage.cost",),
        usage={
            PROMPT: ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
            COMPLETION: ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
            CACHE_READ: (
                "gen_ai.usage.cache_read.input_tokens",
                "gen_ai.usage.cache_read_input_tokens",
                "gen_ai.usage.cache_read_tokens",
                "gen_ai.usage.details.cache_read_tokens",
                "gen_ai.usage.details.cache_read_input_tokens",
                "gen_ai.usage.details.cached_tokens",
                "gen_ai.usage.input_tokens.cached",
            ),
            CACHE_WRITE: (
                "gen_ai.usage.cache_creation.input_tokens",
                "gen_ai.usage.cache_creation_input_tokens",
                "gen_ai.usage.cache_write_input_tokens",
                "gen_ai.usage.cache_write_tokens",
                "gen_ai.usage.details.cache_write_tokens",
                "gen_ai.usage.details.cache_creation_input_tokens",
            ),
            REASONING: (
                "gen_ai.usage.reasoning.output_tokens",
                "gen_ai.usage.reasoning_tokens",
                "gen_ai.usage.details.reasoning_tokens",
            ),
        },
        user=("user.id", "enduser.id"),
        conversation=("gen_ai.conversation.id",),
    ),
    Convention(
        name="OpenInference",
        source="https://arize-ai.github.io/openinference/spec/semantic_conventions.html",
        kinds={
            "openinference.span.kind": {
                "agent": "agent",
                "llm": "model",
                "embedding": "embedding",
                "tool": "tool",
                "chain": "step",
                "retriever": "step",
                "reranker": "step",
                "guardrail": "step",
                "evaluator": "step",
                "prompt": "step",
            }
        },
        # A crew of CrewAI is a CHAIN above its agents, but one run.
        marks={("crew_agents",): "agent"},
        prefixes=("openinference.", "llm."),
        agent=("agent.name", "metadata/lc_agent_name", "agno.agent.id", "graph.node.name", "graph.node.id"),
        tool=("tool.name",),
        inputs=("llm.input_messages.*.message", "crew_tasks/0/description", "input.value"),
        outputs=("llm.output_messages.*.message", "output.value"),
        provider=("llm.provider", "llm.system"),
        model=("llm.model_name",),
        cost=("llm.cost.total",),
        usage={
            PROMPT: ("llm.token_count.prompt",),
            COMPLETION: ("llm.token_count.completion",),
            CACHE_READ: ("llm.token_count.prompt_details.cache_read",),
            CACHE_WRITE: ("llm.token_count.prompt_details.cache_write",),
            REASONING: ("llm.token_count.completion_details.reasoning",),
        },
        conversation=("session.id", "metadata/thread_id"),
    ),
    Convention(
        name="OpenLLMetry",
        source="https://www.traceloop.com/docs/openllmetry/contributing/semantic-conventions",
        kinds={
            "traceloop.span.kind": {"workflow": "agent", "agent": "agent", "tool": "tool", "task": "step"},
            "llm.request.type": {
                "chat": "model",
                "completion": "model",
                "embedding": "embedding",
                "rerank": "embedding",
            },
        },
        prefixes=("traceloop.",),
        agent=("traceloop.association.properties.lc_agent_name",),
        workflow=("traceloop.entity.name", "traceloop.workflow.name"),
        tool=("traceloop.entity.name",),
        inputs=("gen_ai.prompt.*", "traceloop.entity.input"),
        outputs=("gen_ai.completion.*", "traceloop.entity.output"),
        usage={
            PROMPT: ("llm.usage.prompt_tokens",),
            COMPLETION: ("llm.usage.completion_tokens",),
        },
        user=("traceloop.association.properties.user_id",),
        conversation=(
            "traceloop.association.properties.thread_id",
            "traceloop.association.properties.session_id",
        ),
    ),
    Convention(
        name="langsmith (LANGSMITH_OTEL_ENABLED)",
        source="https://docs.langchain.com/langsmith/trace-with-opentelemetry",
        kinds={
            "langsmith.span.kind": {
                "chain": "step",
                "llm": "model",
                "tool": "tool",
                "embedding": "embedding",
                "retriever": "step",
                "prompt": "step",
                "parser": "step",
            }
        },
        prefixes=("langsmith.",),
        agent=("langsmith.metadata.lc_agent_name",),
        tool=("langsmith.trace.name",),
        inputs=("gen_ai.prompt",),
        outputs=("gen_ai.completion",),
        provider=("langsmith.metadata.ls_provider",),
        model=("langsmith.metadata.ls_model_name",),
        usage={
            PROMPT: ("langsmith.metadata.usage_metadata/input_tokens",),
            COMPLETION: ("langsmith.metadata.usage_metadata/output_tokens",),
            CACHE_READ: ("langsmith.metadata.usage_metadata/input_token_details/cache_read",),
            CACHE_WRITE: ("langsmith.metadata.usage_metadata/input_token_details/cache_creation",),
            REASONING: ("langsmith.metadata.usage_metadata/output_token_details/reasoning",),
        },
        user=("langsmith.metadata.user_id",),
        conversation=("langsmith.metadata.thread_id", "langsmith.metadata.session_id"),
    ),
    Convention(
        name="Vercel AI SDK",
        source="https://ai-sdk.dev/docs/ai-sdk-core/telemetry",
        kinds={
            "ai.operationId": {
                "ai.generatetext": "agent",
                "ai.streamtext": "agent",
                "ai.generateobject": "agent",
                "ai.streamobject": "agent",
                "ai.generatetext.dogenerate": "model",
                "ai.streamtext.dostream": "model",
                "ai.generateobject.dogenerate": "model",
                "ai.streamobject.dostream": "model",
                "ai.embed": "step",
                "ai.embedmany": "step",
                "ai.embed.doembed": "embedding",
                "ai.embedmany.doembed": "embedding",
                "ai.toolcall": "tool",
            }
        },
        prefixes=("ai.",),
        agent=("ai.telemetry.functionId",),
        tool=("ai.toolCall.name",),
        inputs=("ai.prompt.messages", "ai.prompt/messages", "ai.prompt/prompt", "ai.prompt"),
        outputs=("ai.response.text", "ai.response.object"),
        texts=("ai.response.text", "ai.response.object"),
        provider=("ai.model.provider",),
        model=("ai.response.model", "ai.model.id"),
        response_id=("ai.response.id",),
        usage={
            PROMPT: ("ai.usage.inputTokens", "ai.usage.promptTokens"),
            COMPLETION: ("ai.usage.outputTokens", "ai.usage.completionTokens"),
            CACHE_READ: ("ai.usage.cachedInputTokens",),
            REASONING: ("ai.usage.reasoningTokens",),
        },
        user=("ai.telemetry.metadata.userId",),
        conversation=("ai.telemetry.metadata.sessionId", "ai.telemetry.metadata.chatId"),
    ),
    Convention(
        name="MLflow",
        source="https://mlflow.org/docs/latest/genai/tracing/opentelemetry/",
        # MLflow writes the values of its attributes as JSON, so a text has quotation marks around it.
        kinds={
            "mlflow.spanType": {
                '"agent"': "agent",
                '"chat_model"': "model",
                '"llm"': "model",
                '"embedding"': "embedding",
                '"tool"': "tool",
                '"chain"': "step",
                '"retriever"': "step",
                '"parser"': "step",
                '"reranker"': "step",
                '"workflow"': "agent",
            }
        },
        has_json_texts=True,
        prefixes=("mlflow.",),
        inputs=("mlflow.spanInputs",),
        outputs=("mlflow.spanOutputs",),
        provider=("mlflow.llm.provider", "mlflow.spanInputs/provider"),
        model=("mlflow.llm.model", "mlflow.spanOutputs/model", "mlflow.spanInputs/model"),
        response_id=("mlflow.spanOutputs/id",),
        usage={
            PROMPT: ("mlflow.chat.tokenUsage/input_tokens",),
            COMPLETION: ("mlflow.chat.tokenUsage/output_tokens",),
            CACHE_READ: ("mlflow.chat.tokenUsage/cache_read_input_tokens",),
            CACHE_WRITE: ("mlflow.chat.tokenUsage/cache_creation_input_tokens",),
        },
        user=("mlflow.trace.user",),
        conversation=("mlflow.trace.session",),
    ),
    Convention(
        name="Agent Development Kit (ADK) before it wrote the GenAI conventions",
        source="https://google.github.io/adk-docs/observability/",
        hints={("gcp.vertex.agent.llm_request",): "model"},
        prefixes=("gcp.vertex.agent.",),
        inputs=("gcp.vertex.agent.llm_request/contents",),
        outputs=("gcp.vertex.agent.llm_response/content",),
        usage={
            PROMPT: ("gcp.vertex.agent.llm_response/usage_metadata/prompt_token_count",),
            COMPLETION: ("gcp.vertex.agent.llm_response/usage_metadata/candidates_token_count",),
            CACHE_READ: ("gcp.vertex.agent.llm_response/usage_metadata/cached_content_token_count",),
            REASONING: ("gcp.vertex.agent.llm_response/usage_metadata/thoughts_token_count",),
        },
        conversation=("gcp.vertex.agent.session_id",),
    ),
    Convention(
        name="Langfuse SDK",
        source="https://langfuse.com/integrations/native/opentelemetry",
        kinds={
            "langfuse.observation.type": {
                "agent": "agent",
                "generation": "model",
                "embedding": "embedding",
                "tool": "tool",
                "span": "step",
                "chain": "step",
                "retriever": "step",
                "evaluator": "step",
                "guardrail": "step",
            }
        },
        prefixes=("langfuse.",),
        inputs=("langfuse.observation.input", "langfuse.trace.input"),
        outputs=("langfuse.observation.output", "langfuse.trace.output"),
        model=("langfuse.observation.model.name",),
        cost=("langfuse.observation.cost_details/total",),
        usage={
            PROMPT: ("langfuse.observation.usage_details/input", "langfuse.observation.usage_details/prompt_tokens"),
            COMPLETION: (
                "langfuse.observation.usage_details/output",
                "langfuse.observation.usage_details/completion_tokens",
            ),
            CACHE_READ: (
                "langfuse.observation.usage_details/cache_read_input_tokens",
                "langfuse.observation.usage_details/input_cached_tokens",
            ),
            CACHE_WRITE: ("langfuse.observation.usage_details/cache_creation_input_tokens",),
        },
        user=("langfuse.user.id",),
        conversation=("langfuse.session.id",),
    ),
)

OTHER_KINDS: Mapping[str, Names] = {
    "HTTP": ("http.", "url."),
    "database": ("db.",),
    "messaging": ("messaging.",),
    "RPC": ("rpc.",),
}
"""Names of other kinds of spans, for the explanation of what was left out, and the prefixes of their attributes."""


@dataclass(frozen=True, slots=True)
class Path:
    """Attribute, and the keys to a value in the JSON of it."""

    attribute: str
    keys: Names = ()

    @property
    def is_indexed(self) -> bool:
        """True for attributes with the numbers of a list in their names."""
        return "*" in self.attribute


def merge(read: Callable[[Convention], Iterable[str]]) -> tuple[Path, ...]:
    """Return the attributes of all conventions for one fact, without repetitions."""
    names = dict.fromkeys(name for convention in CONVENTIONS for name in read(convention))
    paths = (name.split("/") for name in names)
    return tuple(Path(attribute, tuple(keys)) for attribute, *keys in paths)
