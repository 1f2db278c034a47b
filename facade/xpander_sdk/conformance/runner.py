"""Run of the conformance check: each promise with an agent of its own, and what it showed."""

import uuid
from collections.abc import Iterator
from typing import Literal

from attrs import frozen

from xpander_sdk.conformance.backend_session import BackendSession, PromiseBroken, PromiseNotOffered
from xpander_sdk.conformance.promises import PROMISES
from xpander_sdk.errors import ModuleException
from xpander_sdk.settings.configuration import Configuration


@frozen
class Verdict:
    """Result of one promise.

    Attributes:
        promise: Name of the promise.
        state: "kept", "broken", or "not offered" because the backend lacks an optional operation.
        text: What the contract promises.
        reason: What the backend did instead, or what it lacks; empty if the promise is kept.
    """

    promise: str
    state: Literal["kept", "broken", "not offered"]
    text: str
    reason: str = ""


def check_promises(configuration: Configuration, agent_id: str | None = None) -> Iterator[Verdict]:
    """Check each promise of the contract, and yield the verdicts. The check records about 35 runs, which stay.

    Args:
        configuration: The backend.
        agent_id: Agent of the runs, for a backend that accepts only agents that it knows. Default: a new agent for each
            promise, so that metrics can be compared exactly.

    Raises:
        ValueError: The configuration is incomplete.
    """
    for promise in PROMISES:
        session = BackendSession(configuration, agent_id or f"conform-{uuid.uuid4()}")
        try:
            promise.check(session)
        except PromiseBroken as broken:
            yield Verdict(promise.name, "broken", promise.text, str(broken))
        except PromiseNotOffered as missing:
            yield Verdict(promise.name, "not offered", promise.text, str(missing))
        except (LookupError, TypeError, AttributeError) as error:
            # A field is missing or has another type than the contract says.
            yield Verdict(promise.name, "broken", promise.text, f"a response lacks a field of the contract: {error!r}")
        except ModuleException as error:
            yield Verdict(promise.name, "broken", promise.text, str(error))
        else:
            yield Verdict(promise.name, "kept", promise.text)
