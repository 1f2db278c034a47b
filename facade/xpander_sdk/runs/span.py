"""Span of OpenTelemetry around a run, so that its reports and the spans of its frameworks are one record.

The span has the id of the run as `xpander.task.id`, by which the server's endpoint and the span processor of
`xpander_sdk.otel` find the task.
It contains neither the input nor the result, because it is exported wherever the program exports its spans.
"""

from typing import TYPE_CHECKING, Any

from opentelemetry import context, trace
from opentelemetry.trace import NoOpTracerProvider, ProxyTracerProvider, Status, StatusCode

from xpander_capture.spans import TASK_ID

if TYPE_CHECKING:
    from xpander_sdk.runs.run import Run


class RunSpan:
    """Span of one run, which is the current span wherever the run is the current run.

    The context is restored by its value and not by its token: a generator and its consumer leave it in any order.
    """

    __slots__ = ("_has_ended", "_outer", "_span")

    def __init__(self, span: Any) -> None:
        self._span = span
        self._outer: list[Any] = []
        self._has_ended = False

    def enter(self) -> None:
        """Make the span the current one."""
        self._outer.append(context.get_current())
        context.attach(trace.set_span_in_context(self._span))

    def leave(self) -> None:
        """Make the span current that was so before, unless another one was made current since."""
        outer = self._outer.pop()
        if trace.get_current_span() is self._span:
            context.attach(outer)

    def end(self, is_success: bool | None, error: str | None) -> None:
        """End the span with the outcome of the run, once.

        Args:
            is_success: Outcome; None for a run that is not known to have ended.
            error: Reason of a failure. Only its start is used, which names the type of an exception: the rest may quote
                data of the caller.
        """
        if self._has_ended:
            return
        self._has_ended = True
        if is_success is False:
            kind = (error or "").partition(":")[0]
            self._span.set_attribute("error.type", kind if kind.isidentifier() else "_OTHER")
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


def start_span(run: "Run") -> RunSpan | None:
    """Start the span of a run, if the program has set a tracer provider; else give the current span the id of the run.

    Args:
        run: The run, which has begun.

    Returns:
        The span, or None if none was started or it is not sampled.
    """
    provider = trace.get_tracer_provider()
    if isinstance(provider, NoOpTracerProvider | ProxyTracerProvider):
        around = trace.get_current_span()
        # Of several runs within one span, it belongs to the first.
        if around.is_recording() and TASK_ID not in (getattr(around, "attributes", None) or {}):
            around.set_attribute(TASK_ID, run.id)
        return None
    agent_id = run.agent_id or ""
    attributes = {TASK_ID: run.id, "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.id": agent_id}
    span = provider.get_tracer("xpander_sdk").start_span(
        f"invoke_agent {agent_id}", attributes={**attributes, "gen_ai.agent.name": agent_id}
    )
    return RunSpan(span) if span.is_recording() else None
