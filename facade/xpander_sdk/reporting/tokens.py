"""Token usage of one run."""

from collections.abc import Mapping
from typing import Any

from attrs import define

from xpander_sdk.reporting.validation import parse_int


@define(init=False)
class Tokens:
    """Token usage of one run, by kind.

    Args:
        completion_tokens: tokens that the model wrote. Default 0; None for unknown, as for each of them.
        prompt_tokens: tokens that the model read.
        cache_read_tokens: tokens read from the provider's cache. Not part of the total.
        cache_write_tokens: tokens written to the provider's cache. Not part of the total.
        total_tokens: ignored, so that a provider's usage can be passed on; the total is computed.

    Raises:
        ValueError: a count is no whole number.

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

    @property
    def total_tokens(self) -> int:
        """Completion and prompt tokens together; unknown counts as 0."""
        return (self.completion_tokens or 0) + (self.prompt_tokens or 0)

    @classmethod
    def from_dict(cls, usage: Mapping[str, Any]) -> "Tokens":
        """Tokens from a mapping; keys of other names are ignored, as a provider's usage has many."""
        return cls(**{name: usage[name] for name in TOKEN_KINDS if name in usage})

    def to_dict(self) -> dict[str, int | None]:
        """The four counts and the total, as they are sent."""
        return {**{kind: getattr(self, kind) for kind in TOKEN_KINDS}, "total_tokens": self.total_tokens}


TOKEN_KINDS = ("completion_tokens", "prompt_tokens", "cache_read_tokens", "cache_write_tokens")
