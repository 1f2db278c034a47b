"""Summary of a provider's response."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ResponseSummary:
    """Facts that a provider's response states about its call. None stands for what it does not state.

    Attributes:
        provider: Name of the provider: as the caller stated it, else as the response shows it.
        model: Name of the model: as the response states it, else as the caller did. None for a list of responses of
            different models.
        response_id: Id that the provider gave the response. Several responses with one id count once.
        tokens: Token counts by kind, in the provider's own numbers: `prompt_tokens`, `completion_tokens`,
            `cache_read_tokens`, `cache_write_tokens`, `cache_write_1h_tokens`, `reasoning_tokens`,
            `input_audio_tokens`, `output_audio_tokens`, `web_searches` and others. None if there are no counts.
        is_cache_included: Whether `prompt_tokens` include the cached tokens; None if there are none, or if the response
            does not show it.
        tool_names: Names of the tools that the response calls, in order.
        text: Text of the answer, without reasoning.
        error: Message of the provider's error, or the reason why the answer is incomplete.
        status: How the response ended, in the provider's words, for example "stop" or "tool_use".
        service_tier: Tier at which the call was processed, for example "flex".
        calls: Summary of each call, where the response is a list of responses; empty for one response.
    """

    provider: str | None = None
    model: str | None = None
    response_id: str | None = None
    tokens: Mapping[str, int] | None = None
    is_cache_included: bool | None = None
    tool_names: tuple[str, ...] = ()
    text: str | None = field(default=None, repr=False)
    error: str | None = None
    status: str | None = None
    service_tier: str | None = None
    calls: tuple["ResponseSummary", ...] = ()

    def to_call(self, *, duration: float | None = None) -> dict[str, Any]:
        """Return the summary as one entry of a report's `calls`.

        Args:
            duration: Seconds that the call took.

        Returns:
            A dict with the keys that are known: `provider`, `model`, `response_id`, `tokens`, `prompt_includes_cache`,
            `duration`, `error`.
        """
        call = {
            "provider": self.provider,
            "model": self.model,
            "response_id": self.response_id,
            "tokens": None if self.tokens is None else dict(self.tokens),
            "prompt_includes_cache": self.is_cache_included,
            "duration": duration,
            "error": self.error,
        }
        return {name: value for name, value in call.items() if value is not None}
