"""Names of providers and models: from those that programs, gateways and clouds use to those of the price lists.

For example:

    model                               used by        provider    reference in the provider's list
    gpt-4o-2024-08-06                   OpenAI         -           gpt-4o-2024-08-06
    openai/gpt-4o                       litellm        openai      gpt-4o
    openai:gpt-4o                       pydantic-ai    openai      gpt-4o
    openrouter/openai/gpt-4o            litellm        openrouter  openai/gpt-4o
    models/gemini-2.5-pro               Gemini         -           gemini-2.5-pro
    publishers/google/models/gemini-…   Vertex AI      google      gemini-…
    us.anthropic.claude-…-v1:0          Bedrock        aws         us.anthropic.claude-…-v1:0
    arn:aws:bedrock:…/us.anthropic.…    Bedrock        aws         us.anthropic.…
    ft:gpt-4o-2024-08-06:org::id        OpenAI         openai      ft:gpt-4o-2024-08-06:org::id
    deepseek-r1:7b                      Ollama         (none: it runs on the user's machine)
"""

import re
from typing import NamedTuple

# Providers by the names that SDKs, gateways and OpenTelemetry's conventions use, in lower case and with "-" for "_".
_ALIASES = {
    "openai": ("openai-chat", "openai-responses", "openai.chat", "openai.responses", "text-completion-openai"),
    "anthropic": ("anthropic.messages", "claude"),
    "aws": ("bedrock", "amazon", "amazon-bedrock", "aws-bedrock", "aws.bedrock", "bedrock-converse", "bedrock-runtime",
            "anthropic-bedrock", "sagemaker-bedrock"),
    "azure": ("azure-openai", "azure-ai", "azure.ai.openai", "azure.ai.inference", "azure-ai-inference", "az.ai.openai",
              "az.ai.inference", "azureopenai", "azure-openai-responses"),
    "google": ("gemini", "google-genai", "google-gla", "google-vertex", "google-vertexai", "vertex", "vertexai",
               "vertex-ai", "vertex-ai-beta", "gcp.vertex-ai", "gcp.gemini", "gcp.gen-ai", "google-ai-studio",
               "google.generative-ai", "anthropic-vertex"),
    "x-ai": ("xai", "x.ai"),
    "mistral": ("mistralai", "mistral-ai"),
    "together": ("together-ai", "togetherai"),
    "fireworks": ("fireworks-ai",),
    "moonshotai": ("moonshot", "moonshot-ai"),
    "zai": ("z-ai", "z.ai"),
    "zhipuai": ("zhipu",),
    "voyageai": ("voyage",),
    "perplexity": ("pplx", "perplexity-ai"),
    "cohere": ("cohere-chat",),
    "github-copilot": ("github-copilot-chat",),
    "novita": ("novita-ai",),
    "cerebras": (), "cloudflare": (), "databricks": (), "deepseek": (), "groq": (), "minimax": (), "openrouter": (),
    "ovhcloud": (), "baseten": (), "avian": (), "arcee": (), "meta": (), "modal": (),
}  # fmt: skip
_PROVIDERS = {alias: provider for provider, aliases in _ALIASES.items() for alias in (provider, *aliases)}

# Programs that run a model on the user's machines. Their models have no price per token.
_LOCAL = frozenset({
    "ollama", "ollama-chat", "lmstudio", "lm-studio", "llamacpp", "llama.cpp", "llama-cpp", "llamafile", "vllm",
    "hosted-vllm", "local", "localai", "sglang", "tgi", "gpt4all", "mlx", "mlx-lm", "xinference", "koboldcpp", "jan",
    "transformers",
})  # fmt: skip

# Programs that pass calls on to providers. They have no prices of their own.
_GATEWAYS = frozenset({"litellm", "litellm-proxy", "gateway", "portkey", "helicone", "vercel", "ai-gateway"})

_BEDROCK_ARN = re.compile(r"arn:aws[a-z-]*:(?:bedrock|sagemaker):[^/]*/(?P<name>.+)", re.IGNORECASE)
_BEDROCK_MODEL = re.compile(
    r"(?:(?:us|us-gov|eu|apac|jp|au|ca|sa|me|af|il|mx|in|global)\.)?"
    r"(?:ai21|amazon|anthropic|cohere|deepseek|google|luma|meta|minimax|mistral|moonshot|moonshotai|nvidia|openai|qwen"
    r"|stability|twelvelabs|writer|zai)\.[a-z]",
    re.IGNORECASE,
)
_VERTEX_MODEL = re.compile(r"(?:projects/[^/]+/locations/[^/]+/)?publishers/[^/]+/models/(?P<name>.+)")
# Ollama's tags state a size or a quantization: llama3.2:3b, qwen3:30b-a3b, mistral:latest.
_LOCAL_TAG = re.compile(r"[^/]+:(?:latest|(?:e?\d+(?:\.\d+)?[bm]\b.*)|.*q\d_.*|.*fp16)", re.IGNORECASE)


class ModelReference(NamedTuple):
    """Name of a model in a price list.

    Attributes:
        provider: Id of the list; None if no provider is known, so that only its author's list applies.
        name: Name of the model in that list, in lower case.
    """

    provider: str | None
    name: str


def resolve(provider: str | None, model: str) -> ModelReference | None:
    """Return the name of a model in a price list; None for a model that has no price per token, or an unknown provider.

    Args:
        provider: Name of the provider that was called; None if it is not known.
        model: Name of the model, as a program states it.
    """
    name = model.strip().lower()
    provider_id: str | None = None
    if provider is not None and (stated := _normalize(provider)) not in _GATEWAYS:
        if stated in _LOCAL:
            return None
        provider_id = _PROVIDERS.get(stated) or _hugging_face(stated)
        if provider_id is None:
            return None
    return _resolve_name(provider_id, name)


def _hugging_face(provider: str) -> str | None:
    """Return the id of the list of a provider behind Hugging Face's router, such as huggingface_nebius."""
    router, separator, rest = provider.partition("-")
    return f"{router}_{rest}" if router == "huggingface" and separator else None


def _normalize(provider: str) -> str:
    return provider.strip().lower().replace("_", "-")


def _resolve_name(provider: str | None, name: str) -> ModelReference | None:
    if (match := _VERTEX_MODEL.fullmatch(name)) is not None:
        return ModelReference(provider or "google", match["name"])
    name = name.removeprefix("models/")
    if (match := _BEDROCK_ARN.fullmatch(name)) is not None:
        return ModelReference("aws", match["name"])
    if provider == "aws":
        return ModelReference("aws", name.rpartition("/")[2])  # litellm: bedrock/converse/us-east-1/anthropic.…
    if provider is None and _BEDROCK_MODEL.match(name):
        return ModelReference("aws", name)
    if provider is not None:
        return ModelReference(provider, _strip_own_prefix(provider, name))
    if name.startswith("ft:"):
        return ModelReference("openai", name)
    prefix, separator, rest = name.partition("/")
    if not separator:
        prefix, separator, rest = name.partition(":")
    if separator and rest:
        prefix = _normalize(prefix)
        if prefix in _LOCAL:
            return None
        if prefix in _GATEWAYS:
            return _resolve_name(None, rest)
        if (named := _PROVIDERS.get(prefix)) is not None:
            return _resolve_name(named, rest)
    if _LOCAL_TAG.fullmatch(name):
        return None
    return ModelReference(None, name)


def _strip_own_prefix(provider: str, name: str) -> str:
    """Return a name without the provider's own name in front of it, except OpenRouter's, whose names have a prefix."""
    prefix, separator, rest = name.partition("/")
    if separator and rest and _PROVIDERS.get(_normalize(prefix)) == provider:
        return rest
    return name
