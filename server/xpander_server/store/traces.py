"""Traces: spans that arrive in any order become tasks, in one transaction with the spans.

The tasks of a trace are a function of the set of its spans (`xpander_capture.spans.find_runs`). Each arrival stores the
new spans, reads all spans of the trace, applies the function, and merges the runs into their tasks. A span that arrives
twice changes nothing. The time of report is the latest time that a span of the run states, so a computation with a late
child replaces the earlier one, and neither replaces a later report of the program.

States of a trace, with the time `due_at` at which it is computed again without a new span:

    state           condition                                     due_at                        then
    held            a run may be part of one whose span is        first arrival + HOLD          its runs are recorded
                    missing
    in progress     the span of a run is missing                  last arrival + FINAL_AFTER    its runs have ended
    complete        all other traces                              last arrival + RETAIN         its spans are deleted

A run that was recorded and turns out to be part of another one is deleted, and its metrics are subtracted.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from attrs import define, field
from sqlalchemy import Connection, Row, bindparam, delete, select, text

from xpander_capture.spans import Run, find_runs, from_json
from xpander_capture.spans.tree import supersedes
from xpander_server.clock import DAY, HOUR, SECOND
from xpander_server.domain.traced_run import run_report
from xpander_server.json_text import as_text
from xpander_server.store.bulk import BulkInsert, key_parameters
from xpander_server.store.commit import PricesOf, Submission, TaskKey, commit, delete_tasks
from xpander_server.store.schema.tables import spans, tasks, traces
from xpander_server.store.span_batch import SpanBatch, StoredSpan

HOLD = 30 * SECOND
"""Time for which a run that may be part of another one is held back."""
FINAL_AFTER = HOUR
"""Time without a new span after which a run whose own span is missing has ended."""
RETAIN = DAY
"""Time without a new span after which the spans of a trace are deleted."""
MAX_SPANS = 10_000
"""Largest number of spans of one trace; further ones are refused."""
UNKNOWN_AGENT = "unknown"
"""Agent of a run that no span and no request names."""
_DUE_CHUNK = 200

_BY_IDS = (
    traces.c.organization_id == bindparam("key_organization_id"),
    traces.c.trace_id.in_(bindparam("key_ids", expanding=True)),
)
_SELECT_TRACES = select(traces).where(*_BY_IDS).order_by(traces.c.trace_id).with_for_update()
_SELECT_SPANS = select(spans.c.trace_id, spans.c.span_id, spans.c.summary).where(
    spans.c.organization_id == bindparam("key_organization_id"),
    spans.c.trace_id.in_(bindparam("key_ids", expanding=True)),
)
_SELECT_AGENTS = select(tasks.c.id, tasks.c.agent_id).where(
    tasks.c.organization_id == bindparam("key_organization_id"),
    tasks.c.id.in_(bindparam("key_ids", expanding=True)),
)
# One look-up for each id. With IN, PostgreSQL would compare all tasks of the organization with all ids in a new
# database, until the first ANALYZE: it prefers an index without the id, unless the order by the id decides.
_SELECT_AGENTS_ON_POSTGRESQL = text(
    "SELECT found.id, found.agent_id FROM unnest(CAST(:key_ids AS text[])) AS wanted(id) CROSS JOIN LATERAL ("
    "SELECT id, agent_id FROM tasks WHERE organization_id = :key_organization_id "
    "AND id BETWEEN wanted.id AND wanted.id ORDER BY id LIMIT 1) AS found"
)
_INSERT_TRACES = BulkInsert(traces)
_STORE_TRACES = BulkInsert(traces, replaced=("updated_at", "due_at", "agent_id", "tasks"))
_STORE_SPANS = BulkInsert(spans, replaced=("summary",))


class TraceKey(NamedTuple):
    """Primary key of a trace."""

    organization_id: str
    trace_id: str


@define
class _Trace:
    """Trace during a transaction.

    Attributes:
        key: Primary key.
        row: Row of the trace.
        spans: All spans of the trace by their ids.
        changed: Those that the transaction stores.
    """

    key: TraceKey
    row: Row[Any]
    spans: dict[str, StoredSpan] = field(factory=dict)
    changed: dict[str, StoredSpan] = field(factory=dict)

    def add(self, span: StoredSpan) -> bool:
        """Add a span that has arrived, and return whether the trace has space for it."""
        span_id = span.summary.id
        other = self.spans.get(span_id)
        if other is None and len(self.spans) >= MAX_SPANS:
            return False
        if other is None or supersedes(span.summary, other.summary):
            self.spans[span_id] = self.changed[span_id] = span
        return True

    @property
    def tasks(self) -> dict[str, str]:
        tasks: dict[str, str] = self.row.tasks
        return tasks


@define
class _Changes:
    """Rows that a transaction writes."""

    submissions: list[Submission] = field(factory=list)
    deletions: list[TaskKey] = field(factory=list)
    traces: list[list[Any]] = field(factory=list)


def commit_spans(connection: Connection, batches: Sequence[SpanBatch], prices_of: PricesOf) -> list[int]:
    """Store spans, and merge the runs of their traces into tasks.

    Args:
        connection: The connection to use.
        batches: The spans of one or more requests.
        prices_of: Function that returns the own prices of an organization.

    Returns:
        For each batch the number of spans that were refused, because their trace has too many.
    """
    now = max(batch.now for batch in batches)
    arrived = [_by_trace(batch) for batch in batches]
    agents: dict[TraceKey, str | None] = {}
    for batch, by_trace in zip(batches, arrived, strict=True):
        for key in by_trace:
            agents[key] = agents.get(key) or batch.agent_id
    _insert_traces(connection, agents, now)
    stored = _read_traces(connection, agents)
    refused = [
        sum(not stored[key].add(span) for key, new_spans in by_trace.items() for span in new_spans)
        for by_trace in arrived
    ]
    changed = [trace for _, trace in sorted(stored.items()) if trace.changed]
    _STORE_SPANS.execute(
        connection, [[*trace.key, span_id, span.text] for trace in changed for span_id, span in trace.changed.items()]
    )
    _compute(connection, changed, now, prices_of, arrived=True, agents=agents)
    return refused


def recompute_due(connection: Connection, now: int, prices_of: PricesOf) -> int:
    """Compute the traces whose time has come, and delete the spans of old ones.

    Args:
        connection: The connection to use.
        now: The present time, in microseconds since 1970.
        prices_of: Function that returns the own prices of an organization.

    Returns:
        The number of traces; `_DUE_CHUNK` if there may be more.
    """
    query = select(traces.c.organization_id, traces.c.trace_id).where(traces.c.due_at <= now)
    keys = [
        TraceKey(*row)
        for row in connection.execute(
            query.order_by(traces.c.due_at).limit(_DUE_CHUNK).with_for_update(skip_locked=True)
        )
    ]
    stored = _read_traces(connection, keys)
    _compute(connection, [stored[key] for key in sorted(stored)], now, prices_of, arrived=False, agents={})
    for key, trace in stored.items():
        if now >= trace.row.updated_at + RETAIN:
            for table in (spans, traces):
                is_trace = (table.c.organization_id == key.organization_id, table.c.trace_id == key.trace_id)
                connection.execute(delete(table).where(*is_trace))
    return len(keys)


def _by_trace(batch: SpanBatch) -> dict[TraceKey, list[StoredSpan]]:
    by_id: dict[str, list[StoredSpan]] = {}
    for span in batch.spans:
        by_id.setdefault(span.summary.trace_id, []).append(span)
    return {TraceKey(batch.organization_id, trace_id): trace_spans for trace_id, trace_spans in by_id.items()}


def _insert_traces(connection: Connection, agents: Mapping[TraceKey, str | None], now: int) -> None:
    """Insert the traces that do not exist; the order prevents deadlocks of two processes."""
    no_tasks = as_text({})
    _INSERT_TRACES.execute(
        connection, [[*key, now, now, now + RETAIN, agents[key], no_tasks] for key in sorted(agents)]
    )


def _read_traces(connection: Connection, keys: Iterable[TraceKey]) -> dict[TraceKey, _Trace]:
    """Lock and return traces with all their spans."""
    stored: dict[TraceKey, _Trace] = {}
    for parameters in key_parameters(keys):
        organization_id = parameters["key_organization_id"]
        for row in connection.execute(_SELECT_TRACES, parameters):
            key = TraceKey(organization_id, row.trace_id)
            stored[key] = _Trace(key, row)
        for trace_id, span_id, summary in connection.execute(_SELECT_SPANS, parameters):
            trace = stored.get(TraceKey(organization_id, trace_id))
            if trace is not None:
                trace.spans[span_id] = StoredSpan(from_json(summary), summary)
    return stored


def _compute(
    connection: Connection,
    changed: Sequence[_Trace],
    now: int,
    prices_of: PricesOf,
    *,
    arrived: bool,
    agents: Mapping[TraceKey, str | None],
) -> None:
    """Merge the runs of traces into their tasks.

    Args:
        connection: The connection to use.
        changed: The traces.
        now: The present time.
        prices_of: Function that returns the own prices of an organization.
        arrived: Whether spans have arrived now.
        agents: Agents that requests have named for traces.
    """
    found = []
    for trace in changed:
        updated_at = now if arrived else trace.row.updated_at
        is_final = now >= updated_at + FINAL_AFTER
        runs = find_runs((span.summary for span in trace.spans.values()), is_final=is_final).runs
        found.append((trace, updated_at, is_final, runs))
    ids = [TaskKey(trace.key.organization_id, run.task_id) for trace, _, _, runs in found for run in runs]
    stored_agents = _read_agents(connection, ids)
    changes = _Changes()
    for trace, updated_at, is_final, runs in found:
        agent = trace.row.agent_id or agents.get(trace.key)
        _collect(changes, trace, runs, stored_agents, updated_at=updated_at, now=now, is_final=is_final, agent=agent)
    delete_tasks(connection, changes.deletions)
    if changes.submissions:
        commit(connection, changes.submissions, prices_of=prices_of)
    _STORE_TRACES.execute(connection, changes.traces)


def _collect(
    changes: _Changes,
    trace: _Trace,
    runs: Sequence[Run],
    stored_agents: Mapping[TaskKey, str],
    *,
    updated_at: int,
    now: int,
    is_final: bool,
    agent: str | None,
) -> None:
    """Add the reports of a trace's runs, the tasks to delete, and the new state of the trace."""
    organization_id = trace.key.organization_id
    is_held = not is_final and now < trace.row.created_at + HOLD
    recorded: dict[str, str] = {}
    has_held = False
    for run in runs:
        if run.is_provisional and is_held and not run.is_likely and run.task_id not in trace.tasks:
            has_held = True
            continue
        key = TaskKey(organization_id, run.task_id)
        stored_agent = stored_agents.get(key)
        run_agent = run.agent_id or agent or run.agent_fallback or UNKNOWN_AGENT
        if stored_agent is not None and stored_agent != run_agent:
            if trace.tasks.get(run.task_id) == stored_agent and _is_derived(run.task_id, trace.key):
                # The agent of a run in progress was not known yet. A task keeps its agent, so it is created again.
                changes.deletions.append(key)
            else:
                run_agent = stored_agent  # the program has reported the task
        recorded[run.task_id] = run_agent
        changes.submissions.append(
            Submission(organization_id, run_agent, run.task_id, run_report(run), run.reported_at, now)
        )
    changes.deletions += [
        TaskKey(organization_id, task_id)
        for task_id in trace.tasks
        if task_id not in recorded and _is_derived(task_id, trace.key)
    ]
    due_at = updated_at + RETAIN
    if not is_final and any(run.is_success is None or run.is_provisional for run in runs):
        due_at = updated_at + FINAL_AFTER
    if has_held:
        due_at = min(due_at, trace.row.created_at + HOLD)
    changes.traces.append([*trace.key, trace.row.created_at, updated_at, due_at, agent, as_text(recorded)])


def _is_derived(task_id: str, key: TraceKey) -> bool:
    """Return whether the id of a task was derived from its trace; the program may use any other id for its reports."""
    return task_id.startswith(f"{key.trace_id}-")


def _read_agents(connection: Connection, keys: Iterable[TaskKey]) -> dict[TaskKey, str]:
    """Return the agents of the tasks that exist."""
    query = _SELECT_AGENTS if connection.dialect.name == "sqlite" else _SELECT_AGENTS_ON_POSTGRESQL
    return {
        TaskKey(parameters["key_organization_id"], task_id): agent_id
        for parameters in key_parameters(keys)
        for task_id, agent_id in connection.execute(query, parameters)
    }
