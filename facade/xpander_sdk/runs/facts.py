"""Facts about one run: what was recorded in it, and what its function returned."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from xpander_sdk.runs import recording
from xpander_sdk.runs.calls import Calls

if TYPE_CHECKING:
    from xpander_sdk.runs.recording import Recorded
    from xpander_sdk.runs.run import Run

_MAX_RECENT = 16  # results that are remembered, so that recording one twice counts once


class Facts:
    """Facts about one run. Calls that a run within it has recorded do not count.

    Attributes:
        failure: Reason of the failure that the last recorded result states; None if it states none.
        is_paused: Whether the run waits for a person or another program.
    """

    __slots__ = (
        "_calls", "_has_recorded", "_llm_response", "_output", "_recent", "_returned", "failure", "is_paused",
    )  # fmt: skip

    def __init__(self) -> None:
        self.failure: str | None = None
        self.is_paused = False
        self._calls = Calls()
        self._has_recorded = False  # also by a run within this one
        self._llm_response: Any = None
        self._output: Any = None  # text or data of the last recorded response or result
        self._returned: Any = None
        self._recent: list[Any] = []

    def add(self, run: "Run", recorded: "Recorded", source: Any = None) -> None:
        """Add what a response or result states.

        Args:
            run: The run.
            recorded: What was read.
            source: The object that it was read from, which counts once; None for an event of a framework.
        """
        if source is None or not any(source is recent for recent in self._recent):
            are_new = [self._calls.add(call) for call in recorded.calls]
            # A response that another source has recorded adds no tools: they are known.
            if not recorded.calls or any(are_new):
                if type(run.used_tools) is not list:  # replaced by the caller
                    run.used_tools = list(run.used_tools or ())
                run.used_tools.extend(_new_names(recorded, run.used_tools))  # one step, for threads
            self._note_recorded(recorded, source)
            outer = run.outer
            while outer is not None and outer._tracker is not None:
                outer._tracker.facts._exclude(recorded, source)
                outer = outer.outer
        output = recorded.output if recorded.text is None else recorded.text
        if output is not None and _is_data(output):
            self._output = output
        self.failure = recorded.error
        self.is_paused = recorded.is_paused
        if recorded.response is not None:
            self._llm_response = recorded.response

    def take(self, run: "Run", returned: Any) -> None:
        """Take the value that a decorated function has returned as the result of the run.

        The result of a framework and the response of a provider are recorded. If the run has recorded calls before,
        their tokens are not added: the function may return the sum of what it has recorded.
        """
        recorded = None if isinstance(returned, str | bytes) else recording.read(returned)
        if recorded is not None:
            calls = () if self._has_recorded else recorded.calls
            self.add(run, recorded._replace(calls=calls), returned)
        if recorded is None or (recorded.text is None and not recorded.is_result):
            self._returned = returned if _is_data(returned) else None

    def take_items(self, run: "Run", items: str | list[Any]) -> None:
        """Take the items of a generator as the result of the run: a text, or a list of other items."""
        if isinstance(items, str):
            self._returned = items
            return
        recorded = recording.read_stream(items)
        if recorded is not None and not self._has_recorded:
            self.add(run, recorded)
        elif recorded is None and all(_is_data(item) for item in items):
            self._returned = items

    def values(self, run: "Run", is_success: bool | None, reason: str | None, duration: float | None) -> dict[str, Any]:
        """Return the known fields of a report. What the program has set on the run replaces what was recorded.

        Args:
            run: The run.
            is_success: Outcome; None for a run in progress.
            reason: Reason of a failure.
            duration: Measured duration in seconds, if the run has ended.
        """
        result = run.result
        if result is None:
            result = self._output if self._returned is None else self._returned
        tokens, calls = run.tokens, None
        if self._calls:
            tokens, calls = self._calls.tokens() if tokens is None else tokens, self._calls.to_list()
        values: dict[str, Any] = {
            "id": run.id,
            "is_success": is_success,
            # Without these two, the defaults of a report would be sent: a run that is known to have no duration and no
            # tools.
            "duration": duration if run.duration is None else run.duration,
            "used_tools": run.used_tools or None,
        }
        known = (
            ("input", run.input),
            ("llm_response", self._llm_response if run.llm_response is None else run.llm_response),
            ("tokens", tokens),
            ("result", result),
            ("error", run.error or reason),
            ("calls", calls),
            ("user_id", run.user_id),
            ("conversation_id", run.conversation_id),
            ("parent_task_id", run.parent_task_id),
            ("metadata", run.metadata or None),
        )
        values.update((name, value) for name, value in known if value is not None)
        return values

    def forget_objects(self) -> None:
        """Release the caller's objects: tasks that outlive the run keep it in their context."""
        self._returned = self._llm_response = self._output = None
        self._recent = []

    def _exclude(self, recorded: "Recorded", source: Any) -> None:
        """Do not count the calls of a run within this one, which counts them, if this run records them as well."""
        self._calls.exclude(recorded.calls)
        self._note_recorded(recorded, source)

    def _note_recorded(self, recorded: "Recorded", source: Any) -> None:
        self._has_recorded = self._has_recorded or bool(recorded.calls)
        if source is not None:
            self._recent = [*self._recent[1 - _MAX_RECENT :], source]


def _new_names(recorded: "Recorded", known: Iterable[Any] | None) -> list[str]:
    """Return the tools that are to be added. The result of a framework repeats those of responses that are recorded."""
    if not recorded.is_result:
        return list(recorded.tool_names)
    return list(
        (Counter(recorded.tool_names) - Counter(name for name in known or () if isinstance(name, str))).elements()
    )


def _is_data(value: Any) -> bool:
    """Return whether a returned value is data, and not an object that may hold clients, keys and connections."""
    if isinstance(value, str | bytes | bool | int | float | list | tuple | dict):
        return True
    kind = type(value)
    return any(hasattr(kind, name) for name in ("__dataclass_fields__", "__attrs_attrs__", "model_dump"))
