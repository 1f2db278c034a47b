"""Parts of one response, as the reader of an API finds them."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class Draft:
    """Parts of one response. Each is None or empty where the response does not state it.

    Attributes:
        api: Name of the API whose shape the response has.
        provider: Name of the provider, if the shape belongs to one provider only.
        model: Name of the model.
        response_id: Id that the provider gave the response.
        usage: Object with the token counts.
        tool_names: Names of the tools that the response calls, in order.
        text: Text of the answer, without reasoning.
        error: Message of the provider's error.
        status: How the response ended, in the provider's words.
    """

    api: str
    provider: str | None = None
    model: str | None = None
    response_id: str | None = None
    usage: Any = None
    tool_names: list[str] = field(default_factory=list)
    text: str | None = None
    error: str | None = None
    status: str | None = None
