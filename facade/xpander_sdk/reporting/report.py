"""A caller's arguments → the contract's request."""

import json
import logging
import time
import uuid
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from xpander_api.models import TaskReport
from xpander_api.models import Tokens as WireTokens
from xpander_sdk.reporting import validation
from xpander_sdk.reporting.json_encoder import to_jsonable
from xpander_sdk.reporting.tokens import TOKEN_KINDS, Tokens

_log = logging.getLogger(__name__)


@frozen(kw_only=True)
class Report:
    """What is known of a run, said once; it may be sent many times, and means the same each time.

    Attributes:
        reported_at: microseconds since 1970 (UTC).
        content: the request's body, JSON.
    """

    agent_id: str
    id: str
    reported_at: int
    content: bytes = field(repr=False)


def new_report(agent_id: str, *, reported_at: int | None = None, **given: object) -> Report:
    """A report of now, or of `reported_at`; `given` are the arguments of `task_report`."""
    body = task_report(**given)
    if reported_at is None:
        reported_at = _now()
    return Report(agent_id=agent_id, id=str(body.id), reported_at=reported_at, content=encode_json(body.to_dict()))


_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def encode_json(body: dict[str, Any]) -> bytes:
    return _encoder.encode(body).encode()


_latest = 0


def _now() -> int:
    # Of two reports of one process the later one says so, even where the clock stands still or is put back.
    global _latest
    _latest = max(_latest + 1, time.time_ns() // 1_000)
    return _latest


def task_report(
    *,
    id: object,
    input: object,
    llm_response: object,
    tokens: object,
    is_success: object,
    result: object,
    duration: object,
    used_tools: object,
    user_id: object = None,
    parent_task_id: object = None,
    triggering_agent_id: object = None,
    created_at: Any = None,
    finished_at: Any = None,
) -> TaskReport:
    """The body of a report, all eight keys of it, nulls included; and of the further ones, which no official client
    sends, those that are given.

    A missing id is made here, before the first attempt, so that sending it again cannot record the run twice.

    Raises:
        ValueError: an argument is of a wrong type or out of bounds; the text names it.
    """
    counted = _tokens(tokens)
    ids = {"user_id": user_id, "parent_task_id": parent_task_id, "triggering_agent_id": triggering_agent_id}
    times = {"created_at": created_at, "finished_at": finished_at}
    further: dict[str, Any] = {
        **{name: validation.parse_id(name, value) for name, value in ids.items() if value is not None},
        **{name: validation.parse_run_time(name, value) for name, value in times.items() if value is not None},
    }
    return TaskReport(
        **further,
        id=str(uuid.uuid4()) if id is None else validation.parse_id("id", id),
        input_=validation.parse_str("input", input),
        llm_response=to_jsonable(llm_response),
        tokens=None if counted is None else WireTokens(**counted.to_dict()),
        is_success=validation.parse_bool("is_success", is_success),
        result=validation.parse_str("result", result),
        duration=validation.parse_duration("duration", duration),
        used_tools=validation.parse_tool_names("used_tools", used_tools),
    )


def _tokens(tokens: Any) -> Tokens | None:
    if isinstance(tokens, Mapping):
        if tokens and not any(kind in tokens for kind in TOKEN_KINDS):
            _log.warning("tokens has none of %s: it counts as zero", ", ".join(TOKEN_KINDS))
        tokens = Tokens.from_dict(tokens)
    if isinstance(tokens, Tokens):
        for kind in TOKEN_KINDS:
            if abs(validation.parse_int(kind, getattr(tokens, kind)) or 0) > validation.MAX_TOKENS:
                raise ValueError(f"{kind} must be within {validation.MAX_TOKENS} either way")
    if tokens is None or isinstance(tokens, Tokens):
        return tokens
    told = type(tokens).__name__
    raise ValueError(
        f"tokens must be Tokens(prompt_tokens=…, completion_tokens=…), a dict of these or None, not {told}"
    )
