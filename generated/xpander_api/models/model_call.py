from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.call_tokens import CallTokens


T = TypeVar("T", bound="ModelCall")


@_attrs_define
class ModelCall:
    """One call of a language model. Null means unknown."""

    provider: None | str | Unset = UNSET
    model: None | str | Unset = UNSET
    response_id: None | str | Unset = UNSET
    tokens: CallTokens | None | Unset = UNSET
    prompt_includes_cache: bool | None | Unset = UNSET
    """ Whether `prompt_tokens` includes the cached tokens. Null: as the provider is known to count.
     """
    duration: float | None | Unset = UNSET
    """ Wall-clock duration in seconds. """
    error: None | str | Unset = UNSET
    """ Why the call failed. A call with an error and without tokens costs nothing. """
    cost: float | None | Unset = UNSET
    """ The cost in US dollars, if the caller knows it. Null to compute it from the price of the model. """

    def to_dict(self) -> dict[str, Any]:
        from ..models.call_tokens import CallTokens  # noqa: PLC0415

        provider: None | str | Unset
        if isinstance(self.provider, Unset):
            provider = UNSET
        else:
            provider = self.provider

        model: None | str | Unset
        if isinstance(self.model, Unset):
            model = UNSET
        else:
            model = self.model

        response_id: None | str | Unset
        if isinstance(self.response_id, Unset):
            response_id = UNSET
        else:
            response_id = self.response_id

        tokens: dict[str, Any] | None | Unset
        if isinstance(self.tokens, Unset):
            tokens = UNSET
        elif isinstance(self.tokens, CallTokens):
            tokens = self.tokens.to_dict()
        else:
            tokens = self.tokens

        prompt_includes_cache: bool | None | Unset
        if isinstance(self.prompt_includes_cache, Unset):
            prompt_includes_cache = UNSET
        else:
            prompt_includes_cache = self.prompt_includes_cache

        duration: float | None | Unset
        if isinstance(self.duration, Unset):
            duration = UNSET
        else:
            duration = self.duration

        error: None | str | Unset
        if isinstance(self.error, Unset):
            error = UNSET
        else:
            error = self.error

        cost: float | None | Unset
        if isinstance(self.cost, Unset):
            cost = UNSET
        else:
            cost = self.cost

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if provider is not UNSET:
            field_dict["provider"] = provider
        if model is not UNSET:
            field_dict["model"] = model
        if response_id is not UNSET:
            field_dict["response_id"] = response_id
        if tokens is not UNSET:
            field_dict["tokens"] = tokens
        if prompt_includes_cache is not UNSET:
            field_dict["prompt_includes_cache"] = prompt_includes_cache
        if duration is not UNSET:
            field_dict["duration"] = duration
        if error is not UNSET:
            field_dict["error"] = error
        if cost is not UNSET:
            field_dict["cost"] = cost

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.call_tokens import CallTokens  # noqa: PLC0415

        d = dict(src_dict)

        def _parse_provider(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        provider = _parse_provider(d.pop("provider", UNSET))

        def _parse_model(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        model = _parse_model(d.pop("model", UNSET))

        def _parse_response_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        response_id = _parse_response_id(d.pop("response_id", UNSET))

        def _parse_tokens(data: object) -> CallTokens | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                tokens_type_0 = CallTokens.from_dict(data)

                return tokens_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(CallTokens | None | Unset, data)

        tokens = _parse_tokens(d.pop("tokens", UNSET))

        def _parse_prompt_includes_cache(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        prompt_includes_cache = _parse_prompt_includes_cache(d.pop("prompt_includes_cache", UNSET))

        def _parse_duration(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        duration = _parse_duration(d.pop("duration", UNSET))

        def _parse_error(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        error = _parse_error(d.pop("error", UNSET))

        def _parse_cost(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        cost = _parse_cost(d.pop("cost", UNSET))

        model_call = cls(
            provider=provider,
            model=model,
            response_id=response_id,
            tokens=tokens,
            prompt_includes_cache=prompt_includes_cache,
            duration=duration,
            error=error,
            cost=cost,
        )

        return model_call
