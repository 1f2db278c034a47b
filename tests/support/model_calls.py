"""Calls of the corpus: provider and model that were called, and the price that genai-prices computes."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

from genai_prices.data_snapshot import get_snapshot

PRICED_AT = datetime(2026, 11, 1, tzinfo=UTC)

_MODEL_IN_PATH = re.compile(
    r"/models?/(?P<model>.+?)(?::(?:generateContent|batchEmbedContents)|/(?:converse|converse-stream|invoke))$"
)
_LISTS = {"bedrock": "aws", "google-vertex": "google"}


def called(step: dict[str, Any]) -> tuple[str, str | None]:
    """Return the provider and the model of a step's request."""
    path, provider = unquote(step["path"]), step["provider"]
    if provider == "huggingface":
        provider = f"huggingface_{path.split('/')[1]}"
    in_path = _MODEL_IN_PATH.search(path.partition("?")[0])
    if in_path is not None:
        return provider, in_path["model"].rpartition("models/")[2]
    request = step["request"]
    return provider, request.get("model") if isinstance(request, dict) else None


def library_price(step: dict[str, Any]) -> Decimal | None:
    """Return the price of a step in dollars, from the usage that genai-prices extracts itself; None without a price."""
    name, model = called(step)
    providers = get_snapshot().providers
    provider = next((provider for provider in providers if provider.id == _LISTS.get(name, name)), None)
    if provider is None:
        return None
    for flavor in _flavors(step):
        try:
            reference, usage = provider.extract_usage(step["response"], api_flavor=flavor)
        except ValueError:
            continue
        for known in (reference, model):
            if known and (found := provider.find_model(known, all_providers=providers)) is not None:
                price = found.calc_price(usage, provider, genai_request_timestamp=PRICED_AT)
                return price.total_price
    return None


def _flavors(step: dict[str, Any]) -> Iterator[str]:
    path = step["path"]
    if "embeddings" in path:
        yield "embeddings"
    elif "responses" in path:
        yield "responses"
    elif "/chat/completions" in path:
        yield "chat"
    elif path.endswith("/invoke"):
        yield "anthropic"
    yield "default"
