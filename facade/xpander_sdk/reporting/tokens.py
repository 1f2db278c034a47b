"""Token usage of one run."""

from collections.abc import Mapping
from typing import Any, Protocol

from xpander_sdk._records import define
from xpander_sdk.presentation import short_repr
from xpander_sdk.pydantic_schema import Properties, object_schema
from xpander_sdk.reporting.lookup import MISSING, look_up
from xpander_sdk.reporting.usage import TOKEN_KINDS, read_usage
from xpander_sdk.reporting.validation import parse_int


class ChatUsage(Protocol):
    """Usage as OpenAI's chat completions and compatible APIs return it."""

    @property
    def prompt_tokens(self) -> Any:
        """Number of tokens in the prompt."""

    @property
    def completion_tokens(self) -> Any:
        """Number of tokens that the model generated."""


class MessageUsage(Protocol):
    """Usage as Anthropic and OpenAI's Responses return it."""

    @property
    def input_tokens(self) -> Any:
        """Number of tokens in the prompt."""

    @property
    def output_tokens(self) -> Any:
        """Number of tokens that the model generated."""


class GeminiUsage(Protocol):
    """Usage as Gemini returns it."""

    @property
    def prompt_token_count(self) -> Any:
        """Number of tokens in the prompt."""


TokenUsage = Mapping[str, Any] | ChatUsage | MessageUsage | GeminiUsage
"""Usage that a provider returns: a mapping or an object."""


@define(init=False, repr=False)
class Tokens:
    """Token usage of one run.

    Args:
        completion_tokens: Number of tokens that the model generated. Default 0; None for unknown.
        prompt_tokens: Number of tokens in the prompt, as the provider counts them: with Anthropic and Bedrock without
            the cached tokens, with all others including them. Default 0; None for unknown.
        cache_read_tokens: Number of tokens read from the provider's cache; not part of the total. Default 0; None for
            unknown.
        cache_write_tokens: Number of tokens written to the provider's cache; not part of the total. Default 0; None for
            unknown.
        total_tokens: Ignored; the total is computed. Accepted so that the usage that a provider returns can be passed.

    Raises:
        ValueError: A count is not a whole number.

    Example:
        >>> Tokens(prompt_tokens=2_140, completion_tokens=380).total_tokens
        2520
    """

    completion_tokens: int | None
    prompt_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None

    def __init__(
        self,
        *,
        completion_tokens: int | None = 0,
        prompt_tokens: int | None = 0,
        cache_read_tokens: int | None = 0,
        cache_write_tokens: int | None = 0,
        total_tokens: int | None = None,
    ) -> None:
        self.completion_tokens = parse_int("completion_tokens", completion_tokens)
        self.prompt_tokens = parse_int("prompt_tokens", prompt_tokens)
        self.cache_read_tokens = parse_int("cache_read_tokens", cache_read_tokens)
        self.cache_write_tokens = parse_int("cache_write_tokens", cache_write_tokens)

    def __repr__(self) -> str:
        """Return the counts that are not 0."""
        counts = ((kind, getattr(self, kind)) for kind in TOKEN_KINDS)
        return short_repr(type(self).__name__, ((kind, count) for kind, count in counts if count != 0))

    @property
    def total_tokens(self) -> int:
        """Sum of completion and prompt tokens; an unknown count is 0."""
        return (self.completion_tokens or 0) + (self.prompt_tokens or 0)

    @classmethod
    def from_dict(cls, usage: TokenUsage) -> "Tokens":
        """Return tokens from a provider's usage: a mapping or an object.

        Known names are those of OpenAI (chat completions and Responses), Anthropic, Gemini, Bedrock Converse, LangChain
        and pydantic-ai, and the fields of this class. Other names are ignored.

        Raises:
            ValueError: A count is not a whole number, or an object that is not a mapping has no known name.

        Example:
            >>> Tokens.from_dict({"input_tokens": 20, "output_tokens": 5, "cache_read_input_tokens": 300})
            Tokens(completion_tokens=5, prompt_tokens=20, cache_read_tokens=300)
        """
        known = read_usage(usage)
        if known is not None:
            return cls(**known.counts)
        if isinstance(usage, Mapping):
            return cls()
        names = [name for name in ("usage", "usage_metadata") if look_up(usage, name) is not MISSING]
        advice = f"; pass its .{names[0]}" if names else ""
        raise ValueError(
            "tokens must be Tokens(prompt_tokens=…, completion_tokens=…), a mapping, the usage object of a provider "
            f"or None, got {type(usage).__name__}{advice}"
        )

    def to_dict(self) -> dict[str, int | None]:
        """Return the four counts and the total."""
        return {**{kind: getattr(self, kind) for kind in TOKEN_KINDS}, "total_tokens": self.total_tokens}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        properties: Properties = dict.fromkeys((*TOKEN_KINDS, "total_tokens"), (int | None, False))
        return object_schema(cls, handler, properties, cls.to_dict)
