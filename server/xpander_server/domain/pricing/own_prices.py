"""Prices that an organization has set: for its own models, fine-tunes, contracts and providers without a price list."""

from collections.abc import Iterable, Mapping

from attrs import frozen

ANY_PROVIDER = ""
"""Provider of an own price that applies whatever the provider is."""

_MILLION = 1_000_000


@frozen(kw_only=True)
class OwnPrice:
    """Price of a model, in nano-dollars for a million tokens.

    Attributes:
        provider: Provider to which the price applies, in lower case; `ANY_PROVIDER` for all of them.
        model: Name of the model in lower case; a name that ends with "*" stands for all names that begin so.
        prompt: Price of prompt tokens that are not cached.
        completion: Price of completion tokens.
        cache_read: Price of tokens read from the cache; None for the price of prompt tokens.
        cache_write: Price of tokens written to the cache; None for the price of prompt tokens.
    """

    provider: str = ANY_PROVIDER
    model: str
    prompt: int
    completion: int
    cache_read: int | None = None
    cache_write: int | None = None

    def compute(self, tokens: Mapping[str, int]) -> int:
        """Return the cost in nano-dollars. The prompt tokens include the cached tokens."""
        read, write = tokens.get("cache_read_tokens", 0), tokens.get("cache_write_tokens", 0)
        millionths = (
            max(0, tokens.get("prompt_tokens", 0) - read - write) * self.prompt
            + tokens.get("completion_tokens", 0) * self.completion
            + read * (self.prompt if self.cache_read is None else self.cache_read)
            + write * (self.prompt if self.cache_write is None else self.cache_write)
        )
        return (millionths + _MILLION // 2) // _MILLION


class OwnPrices:
    """Own prices of one organization."""

    def __init__(self, prices: Iterable[OwnPrice] = ()) -> None:
        self._exact: dict[tuple[str, str], OwnPrice] = {}
        prefixes: list[OwnPrice] = []
        for price in prices:
            if price.model.endswith("*"):
                prefixes.append(price)
            else:
                self._exact[price.provider, price.model] = price
        # The longest beginning is the most specific one; of two, that of the provider.
        self._prefixes = sorted(prefixes, key=lambda price: (-len(price.model), price.provider == ANY_PROVIDER))

    def find(self, provider: str | None, model: str) -> OwnPrice | None:
        """Return the most specific price of a model: by its name before by its beginning, by provider before any."""
        if not self._exact and not self._prefixes:
            return None
        provider_key, name = (provider or ANY_PROVIDER).strip().lower(), model.strip().lower()
        for key in ((provider_key, name), (ANY_PROVIDER, name)):
            if (price := self._exact.get(key)) is not None:
                return price
        for price in self._prefixes:
            if name.startswith(price.model[:-1]) and price.provider in (ANY_PROVIDER, provider_key):
                return price
        return None


NO_OWN_PRICES = OwnPrices()
