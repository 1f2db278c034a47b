"""Model call: one call of a language model that a run made."""

from typing import ClassVar

from xpander_sdk._records import field, frozen
from xpander_sdk.api_object import ApiObject


@frozen(kw_only=True, repr=False)
class ModelCall(ApiObject):
    """Call of a language model. A value that was not reported is None.

    Attributes:
        provider: Provider of the model, for example "openai".
        model: Name of the model.
        response_id: Id that the provider gave the response. Calls with one id are one call.
        tokens: Token counts by kind: `prompt_tokens`, `completion_tokens`, `cache_read_tokens`, `cache_write_tokens`,
            and others that the provider counts, such as `reasoning_tokens`.
        prompt_includes_cache: Whether `prompt_tokens` include the cached tokens; None for what is usual for the
            provider.
        duration: Wall-clock time of the call, in seconds.
        error: Why the call failed.
        cost: Cost in US dollars, as the caller knows it. The backend computes all other costs from prices.
    """

    _first_fields: ClassVar[tuple[str, ...]] = ("model", "tokens")

    provider: str | None = None
    model: str | None = None
    response_id: str | None = None
    tokens: dict[str, int] = field(factory=dict)
    prompt_includes_cache: bool | None = None
    duration: float | None = None
    error: str | None = None
    cost: float | None = None
