"""Logger of litellm that records model calls into the current run.

Example:
    >>> import litellm
    >>> from xpander_sdk.integrations.litellm import Logger
    >>> litellm.callbacks.append(Logger())
"""
# pyright: reportMissingImports=false

import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

from xpander_capture.responses.reading import text
from xpander_sdk.integrations.adapter_run import add_late, guarded
from xpander_sdk.runs import recording
from xpander_sdk.runs.current import current
from xpander_sdk.runs.ends import describe_error
from xpander_sdk.runs.run import Run

__all__ = ["Logger"]

_MAX_KNOWN = 1_000  # calls that are remembered, as litellm may report one to both forms of a method


class Logger(CustomLogger):  # type: ignore[misc]  # its package is not installed here
    """Logger that adds each model call to the run around it: tokens, model, provider, tools, text and duration.

    It serves all frameworks that call models through litellm. Streams are added whole at their end. Calls outside of
    runs are not recorded. litellm logs calls in the background: if the run has ended before, its tokens and calls are
    reported again.

    Example:
        >>> import litellm
        >>> from xpander_sdk import Backend
        >>> litellm.callbacks.append(Logger())
        >>> with Backend().run(agent_id="desk", input="2 + 2?"):
        ...     _ = litellm.completion("openai/gpt-4o-mini", [{"role": "user", "content": "2 + 2?"}], mock_response="4")
    """

    def __init__(self) -> None:
        super().__init__()
        self._runs: OrderedDict[str, Run] = OrderedDict()  # by the id of a call that has begun
        self._known: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    @guarded
    def log_pre_api_call(self, model: Any, messages: Any, kwargs: Any) -> None:
        """Note the run around a call: the thread that logs the end of a stream does not have its context."""
        run, call_id = current.get(), text(kwargs.get("litellm_call_id"))
        if run is not None and call_id is not None:
            with self._lock:
                self._runs[call_id] = run
                if len(self._runs) > _MAX_KNOWN:
                    self._runs.popitem(last=False)

    @guarded
    def log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Add a call of a synchronous function."""
        self._add_response(kwargs, response_obj, start_time, end_time)

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Add a call of an asynchronous function."""
        self.log_success_event(kwargs, response_obj, start_time, end_time)

    @guarded
    def log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Add a failed call of a synchronous function."""
        error = kwargs.get("exception")
        call = {
            **_facts(kwargs, start_time, end_time),
            "model": text(kwargs.get("model")),
            "error": describe_error(error) if isinstance(error, BaseException) else "the call failed",
        }
        if self._is_new(kwargs):
            _add(self._run_of(kwargs), recording.Recorded(calls=(call,)))

    async def async_log_failure_event(self, kwargs: Any, response_obj: Any, start_time: Any, end_time: Any) -> None:
        """Add a failed call of an asynchronous function."""
        self.log_failure_event(kwargs, response_obj, start_time, end_time)

    def _add_response(self, kwargs: Mapping[str, Any], response: Any, start_time: Any, end_time: Any) -> None:
        recorded = recording.read(response)
        if recorded is None or not self._is_new(kwargs):
            return
        facts = _facts(kwargs, start_time, end_time)
        # A response from litellm's cache costs nothing: only its text counts.
        calls = () if kwargs.get("cache_hit") is True else tuple({**call, **facts} for call in recorded.calls)
        _add(self._run_of(kwargs), recorded._replace(calls=calls))

    def _run_of(self, kwargs: Mapping[str, Any]) -> Run | None:
        """Return the run around a call that has ended."""
        with self._lock:
            run = self._runs.pop(text(kwargs.get("litellm_call_id")) or "", None)
        return current.get() if run is None else run

    def _is_new(self, kwargs: Mapping[str, Any]) -> bool:
        call_id = text(kwargs.get("litellm_call_id"))
        if call_id is None:
            return True
        with self._lock:
            if call_id in self._known:
                return False
            self._known[call_id] = None
            if len(self._known) > _MAX_KNOWN:
                self._known.popitem(last=False)
            return True


def _facts(kwargs: Mapping[str, Any], start_time: Any, end_time: Any) -> dict[str, Any]:
    """Return what litellm knows about a call: the provider that it has chosen, and the duration."""
    facts: dict[str, Any] = {}
    provider = text(kwargs.get("custom_llm_provider"))
    if provider is not None:
        facts["provider"] = provider
    seconds = end_time - start_time
    if isinstance(seconds, timedelta):
        facts["duration"] = seconds.total_seconds()
    return facts


def _add(run: Run | None, recorded: recording.Recorded) -> None:
    """Add a call to a run, which may have ended."""
    if run is None or run._tracker is None:
        return
    if run.has_ended:
        add_late(run, recorded)
    else:
        run._tracker.add(run, recorded)
