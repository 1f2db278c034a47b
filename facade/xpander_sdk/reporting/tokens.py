"""Token usage of one run."""

from collections.abc import Mapping
from typing import Any

from attrs import define

from xpander_sdk.reporting.validation import parse_int

TOKEN_KINDS = ("completion_tokens", "prompt_tokens", "cache_read_tokens", "cache_write_tokens")


@define(init=False)
class Tokens:
    """Token usage of one run.

    Args:
        completion_tokens: Number of tokens that the model generated. Default 0; None for unknown.
        prompt_tokens: Number of tokens in the prompt. Default 0; None for unknown.
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

    @property
    def total_tokens(self) -> int:
        """Sum of completion and prompt tokens; an unknown count is 0."""
        return (self.completion_tokens or 0) + (self.prompt_tokens or 0)

    @classmethod
    def from_dict(cls, usage: Mapping[str, Any]) -> "Tokens":
        """Return tokens from a mapping, for example a provider's usage. Unknown keys are ignored.

        Raises:
            ValueError: A count is not a whole number.
        """
        return cls(**{name: usage[name] for name in TOKEN_KINDS if name in usage})

    def to_dict(self) -> dict[str, int | None]:
        """Return the four counts and the total."""
        return {**{kind: getattr(self, kind) for kind in TOKEN_KINDS}, "total_tokens": self.total_tokens}
